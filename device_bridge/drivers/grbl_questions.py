"""What a GRBL machine is asked until it has answered: reports, holds, resets, who it is."""

import asyncio
import contextlib
from time import monotonic

from device_bridge.dialects import grbl
from device_bridge.drivers.grbl_state import GrblState
from device_bridge.drivers.grbl_wire import GrblWire
from device_bridge.errors import DeviceRefusedError, SilentDeviceError

POLL_S = 0.2
HOLD_S = 15.0
RESET_S = 3.0


class GrblQuestions:
    """Real-time bytes, and the reports that tell what became of them."""

    def __init__(self, wire: GrblWire, state: GrblState) -> None:
        self._wire = wire
        self._state = state

    async def probe(self) -> None:
        """Who it is, its settings, its buffer."""
        await self._wire.ask("$I")
        await self._wire.ask("$$")
        with contextlib.suppress(DeviceRefusedError):  # GRBL 1.1 itself answers error:3
            await self._wire.ask("$I+")
        self._wire.stream.rx = self._state.rx

    async def report(self, *, after_s: float = 0.0) -> grbl.Status:
        """A status report asked for now, or a moment later (at most 5 a second)."""
        await asyncio.sleep(after_s)
        for _ in range(3):
            self._state.reported.clear()
            self._wire.realtime(grbl.STATUS)
            try:
                await asyncio.wait_for(self._state.reported.wait(), 1.0)
            except TimeoutError:
                continue
            if self._state.report is not None:
                return self._state.report
        raise SilentDeviceError("the machine does not answer ?")

    async def hold(self) -> bool:
        """Send ``!`` and wait until nothing moves. False when it takes too long."""
        self._wire.realtime(grbl.HOLD)
        give_up = monotonic() + HOLD_S
        while monotonic() < give_up:
            report = await self.report(after_s=POLL_S)
            if report.held or report.state in {"Idle", "Alarm", "Sleep"}:
                return True
        return False

    async def leave_hold(self) -> None:
        """``~`` until the hold is left; in ``Hold:0`` a second one does no harm."""
        give_up = monotonic() + HOLD_S
        while monotonic() < give_up:
            self._wire.realtime(grbl.RESUME)
            if (await self.report(after_s=POLL_S)).state != "Hold":
                return
        raise DeviceRefusedError(f"the machine still holds {HOLD_S:.0f} s after a resume")

    async def reset(self) -> None:
        """A soft reset and its banner."""
        self._state.restarted.clear()
        self._wire.realtime(grbl.RESET)
        try:
            await asyncio.wait_for(self._state.restarted.wait(), RESET_S)
        except TimeoutError as silent:
            raise SilentDeviceError("no banner after a soft reset") from silent
        self._wire.forget()
