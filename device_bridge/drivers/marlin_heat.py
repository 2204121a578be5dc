"""How temperatures come from a Marlin printer: it reports them, or it is asked."""

import asyncio
from collections.abc import Callable
from time import monotonic

from device_bridge.drivers.marlin_state import MarlinState
from device_bridge.drivers.marlin_wire import MarlinWire
from device_bridge.errors import DeviceError

RUNNING_S = 1
RESTING_S = 10


class HeatReports:
    """``M155`` where the firmware has it, else ``M105`` at the same pace."""

    def __init__(
        self, wire: MarlinWire, state: MarlinState, *, running: Callable[[], bool]
    ) -> None:
        self._wire = wire
        self._state = state
        self._running = running
        self._asking: asyncio.Task[None] | None = None

    def reports(self, seconds: int) -> tuple[str, ...]:
        """What makes the firmware report at this pace; nothing where it cannot."""
        by_itself = self._state.capabilities.get("AUTOREPORT_TEMP")
        return (f"M155 S{seconds}",) if by_itself else ()

    def begin(self) -> None:
        """Ask from now on, if the firmware must be asked."""
        if not self.reports(RUNNING_S):
            self._asking = asyncio.get_running_loop().create_task(self._ask())

    def stop(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    async def _ask(self) -> None:
        """``M105`` between the program's lines.

        The next question waits for the last answer, so there is never more than one on its way.
        """
        asked = monotonic()
        while True:
            await asyncio.sleep(RUNNING_S)
            if not self._running() and monotonic() - asked < RESTING_S:
                continue
            asked = monotonic()
            try:
                await self._wire.ask("M105")
            except DeviceError:
                return
