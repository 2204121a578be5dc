"""What a build took: wall time, and energy by the machine's meter where it has one."""

import asyncio
import contextlib
from collections.abc import Callable
from time import monotonic
from typing import Any

from device_bridge.errors import DeviceError
from device_bridge.meter import Meter, Reading
from device_bridge.protocols import TelemetrySample

RUNNING_S = 1.0
RESTING_S = 30.0


class EnergyCount:
    """Reads a meter, tells its readings, and subtracts counters over a build.

    Without a meter, or when it failed at either end, the source is ``none`` and the figure 0.
    """

    def __init__(self, meter: Meter | None, tell: Callable[[TelemetrySample], None]) -> None:
        self._meter = meter
        self._tell = tell
        self._began = 0.0
        self._first: Reading | None = None
        self._running = asyncio.Event()
        self._turn = asyncio.Lock()

    async def begin(self) -> None:
        """A build begins."""
        self._began = monotonic()
        self._first = await self._read()
        self._running.set()

    def end(self) -> None:
        """The build is over."""
        self._running.clear()

    async def figures(self) -> dict[str, Any]:
        """``duration_ms``, ``energy_j`` and ``energy_source`` since ``begin``."""
        duration = round((monotonic() - self._began) * 1000)
        last = await self._read()
        if self._meter is None or self._first is None or last is None:
            return {"duration_ms": duration, "energy_j": 0, "energy_source": "none"}
        used = last.energy_j - self._first.energy_j
        if used < 0:
            return {"duration_ms": duration, "energy_j": 0, "energy_source": "none"}
        source = self._meter.source
        return {"duration_ms": duration, "energy_j": round(used), "energy_source": source}

    async def run(self) -> None:
        """Read once a second while a build runs, else every 30 s; cancel to stop."""
        while self._meter is not None:
            await self._read()
            pause = RUNNING_S if self._running.is_set() else RESTING_S
            with contextlib.suppress(TimeoutError):
                if self._running.is_set():
                    await asyncio.sleep(pause)
                else:
                    await asyncio.wait_for(self._running.wait(), pause)

    def close(self) -> None:
        """Give the meter's port back."""
        if self._meter is not None:
            self._meter.close()

    async def _read(self) -> Reading | None:
        if self._meter is None:
            return None
        async with self._turn:
            try:
                reading = await self._meter.read()
            except DeviceError:
                self._meter.close()
                return None
        metrics = {"power_w": reading.power_w, "energy_j": reading.energy_j}
        self._tell(TelemetrySample(mono_s=monotonic(), metrics=metrics))
        return reading
