"""The physical side of a virtual printer that keeps files and runs them alone."""

import asyncio
import math
from collections.abc import Callable
from enum import StrEnum

from device_bridge.virtual.body import Body
from device_bridge.virtual.heat import bed, hotend
from device_bridge.virtual.ledger import Ledger
from device_bridge.virtual.marlin_commands import MarlinCommands
from domain.part.sendable import clean

PLANNER_SLOTS = 16


class Printing(StrEnum):
    """Where the printer stands with its file."""

    STANDBY = "STANDBY"
    PRINTING = "PRINTING"
    PAUSED = "PAUSED"
    COMPLETE = "COMPLETE"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


class FilePrinter:
    """Runs one stored program at a time, in its own task, link or no link.

    ``changed`` is called at each change of ``state``; ``said`` with lines that firmware would
    print. ``starts`` counts programs that began.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        speed: float,
        changed: Callable[[], None],
        said: Callable[[str], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.body = Body(
            self._loop.time,
            speed=speed,
            heaters={"hotend0": hotend(), "bed": bed()},
            slots=PLANNER_SLOTS,
        )
        self.files: dict[str, bytes] = {}
        self.state = Printing.STANDBY
        self.file_name = ""
        self.message = ""
        self.position = 0
        self.starts = 0
        self.started_at = 0.0
        self._filament_zero = 0.0
        self._ledger = ledger
        self._changed = changed
        self._said = said
        self._commands = MarlinCommands(self.body, say=said, block=self._block, ledger=ledger)
        self._held = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._fails = False

    @property
    def busy(self) -> bool:
        """A file is printing or paused."""
        return self.state in {Printing.PRINTING, Printing.PAUSED}

    @property
    def share(self) -> float:
        """0 to 1 of the file was read."""
        size = len(self.files.get(self.file_name, b""))
        return min(self.position / size, 1.0) if size else 0.0

    @property
    def filament_mm(self) -> float:
        """What this file has used."""
        return self.body.filament_mm - self._filament_zero

    @property
    def moving(self) -> bool:
        """Steppers turn."""
        return not self.body.planner.idle(self.body.clock())

    def start(self, name: str) -> None:
        """Begin a stored file. The caller has checked that it exists and nothing is printing."""
        self.file_name, self.position, self.message = name, 0, ""
        self.starts += 1
        self.started_at = self._loop.time()
        self._filament_zero = self.body.filament_mm
        self._held.set()
        self._become(Printing.PRINTING)
        self._task = self._loop.create_task(self._print(self.files[name].decode()))

    def pause(self) -> None:
        """Read no further line; what is planned still moves."""
        self._held.clear()
        self._become(Printing.PAUSED)

    def resume(self) -> None:
        """Read on."""
        self._become(Printing.PRINTING)
        self._held.set()

    def cancel(self) -> None:
        """Forget the rest of the file."""
        self._stop_reading()
        self._ledger.finished(self.filament_mm)
        self._become(Printing.CANCELLED)

    def halt(self) -> None:
        """Stop where it is, everything off."""
        self._stop_reading()
        self.body.planner.stop(self.body.clock())
        self.body.cool_down()

    def forget(self) -> None:
        """Nothing is loaded any more."""
        self._stop_reading()
        self.file_name, self.position = "", 0
        self._become(Printing.STANDBY)

    def fail_next(self) -> None:
        """Refuse the next command of the file."""
        self._fails = True

    def do(self, command: str) -> asyncio.Future[None]:
        """Obey one command that does not come from the file; done when it has ended."""
        done: asyncio.Future[None] = self._loop.create_future()

        def finish(_: str) -> None:
            if not done.done():
                done.set_result(None)

        if not self._commands.execute(command, done=finish):
            finish("")
        return done

    async def stop(self) -> None:
        """Switch off."""
        self._stop_reading()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _print(self, text: str) -> None:
        for line in text.splitlines(keepends=True):
            await self._held.wait()
            self.position += len(line.encode())
            command = clean(line)
            if not command:
                continue
            if self._fails:
                self._fails = False
                self._fail(f"Unable to obey '{command}'")
                return
            await self.do(command)
        await self._held.wait()
        await self.do("M400")
        self._ledger.finished(self.filament_mm)
        self._become(Printing.COMPLETE)

    def _fail(self, message: str) -> None:
        self.message = message
        self._ledger.finished(self.filament_mm)
        self._become(Printing.FAILED)

    def _stop_reading(self) -> None:
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def _block(self, until: float, then: Callable[[], None], *, busy: str = "") -> None:
        if math.isfinite(until):
            self._loop.call_at(until, then)

    def _become(self, state: Printing) -> None:
        if state is not self.state:
            self.state = state
            self._changed()
