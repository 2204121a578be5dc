"""Drivers of machines that hold the program themselves: Moonraker, PrusaLink, OctoPrint.

The program is stored on the machine as ``<build_id>.gcode``, started once, and run by the machine
alone. A driver gives the steps below (``_store``, ``_start``, ``_look``, ``_recall``), calls
``_saw`` with whatever its machine says of the program on it, ``_reconcile`` at the end of
``connect`` and ``_lose`` when the link is gone. The run then outlives the link: the session
connects again, the driver looks for its file and follows it to the end. It never starts twice.
"""

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path

from device_bridge import gcode
from device_bridge.dialects.remote_job import Phase, RemoteJob, file_name
from device_bridge.drivers.base import Driver, State
from device_bridge.drivers.remote_run import RemoteRun
from device_bridge.errors import (
    BadProgramError,
    DeviceError,
    LinkLostError,
    MachineBusyError,
    MachineHaltedError,
    SilentDeviceError,
)
from device_bridge.protocols import Beginning, JobSpec, LinkLost, RunHandle
from domain.node.states import Availability, Execution

LONGEST_LINE = 4096
"""Characters; these machines read a file, so only nonsense is longer."""
START_S = 60.0
LOOK_S = 0.02
READY = frozenset({Execution.READY, Execution.PROGRAM_COMPLETED})


class RemoteDriver(Driver[State]):
    """What every machine with its own store of programs has in common."""

    continues_without_host = True
    forbidden: frozenset[str] = frozenset()
    """Words that no program for this kind of machine may begin a line with."""

    def __init__(self, state: State, *, start_s: float = START_S) -> None:
        super().__init__(state)
        self._print: RemoteRun | None = None
        self._start_s = start_s
        self._doubts: asyncio.Task[None] | None = None
        self._overdue: asyncio.TimerHandle | None = None

    @abstractmethod
    async def _store(self, name: str, program: Path) -> None:
        """Put the file on the machine. Starts nothing."""

    @abstractmethod
    async def _start(self, name: str) -> None:
        """Order the machine to run a stored file.

        Raises ``LinkLostError`` or ``SilentDeviceError`` when nobody knows whether it was taken;
        any other ``DeviceError`` is the machine's own no.
        """

    @abstractmethod
    async def _look(self) -> RemoteJob:
        """Ask the machine, not a memory, what is on it now."""

    async def _discard(self, name: str) -> None:
        """Take a file off the machine whose build is finished, so that its card never fills."""

    async def _recall(self, name: str) -> RemoteJob | None:
        """What the machine's own history says of a file that is not on it any more."""
        return None

    async def execute_job(self, job: JobSpec, *, beginning: Beginning | None = None) -> RunHandle:
        """Check the whole program, store it, and start it once.

        ``beginning`` comes after the file lies on the machine and before the order to start.
        """
        self._require_ready()
        survey = await asyncio.to_thread(self._inspect, job.program)
        name = file_name(job.build_id)
        await self._refuse_known(name)
        await self._tidy()
        await self._store(name, job.program)
        self._require_ready()
        if beginning is not None:
            await beginning()
            self._require_ready()
        run = RemoteRun(job.build_id, lines_total=survey.lines, filament_mm=job.filament_mm)
        self._print = run
        await self._start_once(run)
        return run.handle

    async def follow(self, build_id: str) -> RunHandle | None:
        """A run that an earlier life of this bridge started, if the machine still knows it."""
        if self._running:
            return None
        found = await self._find(file_name(build_id))
        if found is None:
            return None
        self._print = RemoteRun(build_id)
        asyncio.get_running_loop().call_soon(self._saw, found)
        return self._print.handle

    @property
    def _running(self) -> bool:
        return self._print is not None and not self._print.over

    def _require_print(self) -> RemoteRun:
        if self._print is None or self._print.over:
            raise MachineBusyError("no program is running")
        return self._print

    def _require_ready(self) -> None:
        self._require_free()
        execution = self._state.status.execution
        if execution is Execution.STOPPED:
            faults = "; ".join(condition.text for condition in self._state.status.conditions)
            raise MachineHaltedError(faults or "the machine is stopped")
        if execution not in READY:
            raise MachineBusyError(f"the machine is {execution} with something else")

    def _inspect(self, program: Path) -> gcode.Survey:
        """Read the program once. Raises ``BadProgramError``."""
        for command in gcode.commands(program, longest=LONGEST_LINE) if self.forbidden else ():
            word = command.split(maxsplit=1)[0].upper()
            if word in self.forbidden:
                raise BadProgramError(f"{word} may not stand in a program")
        return gcode.survey(program, longest=LONGEST_LINE)

    async def _tidy(self) -> None:
        done = self._print
        if done is not None and done.finished:
            with contextlib.suppress(DeviceError, TimeoutError):
                await self._discard(done.file_name)

    async def _refuse_known(self, name: str) -> None:
        """The machine's own memory is the last guard against a second start."""
        if await self._find(name) is not None:
            raise MachineBusyError(f"the machine has already been started with {name}")

    async def _find(self, name: str) -> RemoteJob | None:
        """A file on the machine, or in its history; ``None`` when it says nothing of its fate."""
        found = await self._look()
        if found.file_name == name and (found.phase.on_the_machine or found.phase.over):
            return found
        remembered = await self._recall(name)
        return remembered if remembered is not None and remembered.phase.over else None

    async def _start_once(self, run: RemoteRun) -> None:
        """An explicit no ends the run at once; no answer at all is looked into, never repeated.

        A machine that names the program has started it, whatever became of its answer.
        """
        starting = asyncio.get_running_loop().create_task(self._start(run.file_name))
        try:
            while not starting.done() and not run.seen:
                await asyncio.wait({starting}, timeout=LOOK_S)
            if starting.done():
                starting.result()
        except (LinkLostError, SilentDeviceError, TimeoutError):
            pass
        except DeviceError:
            if not run.seen:
                self._print = None
                raise
        finally:
            starting.cancel()
        self._overdue = asyncio.get_running_loop().call_later(self._start_s, self._expect, run)

    async def _until(self, holds: Callable[[], bool], *, within_s: float) -> None:
        """Wait for a fact that the machine's reports bring. Raises ``LinkLostError`` when they
        end, ``TimeoutError`` when it does not come."""
        async with asyncio.timeout(within_s):
            while not holds():
                if self._state.status.availability is not Availability.AVAILABLE:
                    raise LinkLostError("the link was lost meanwhile")
                await asyncio.sleep(LOOK_S)

    def _still_on(self, run: RemoteRun) -> None:
        """A program that ended while the machine was asked to hold is not held."""
        if run.over:
            raise MachineBusyError("the program ended before the machine held")

    def _saw(self, found: RemoteJob) -> None:
        """Fold what the machine says of the program on it."""
        run = self._print
        if run is None or run.over:
            return
        if found.file_name != run.file_name or found.phase is Phase.NONE:
            if run.seen and found.phase is not Phase.UNKNOWN:
                self._doubt()
            return
        if (progress := run.saw(found)) is not None:
            self._state.tell(progress)
        self._settle(run, found)

    def _settle(self, run: RemoteRun, found: RemoteJob) -> None:
        match found.phase:
            case Phase.COMPLETED:
                run.end("finished")
            case Phase.CANCELLED:
                run.end("cancelled", reason="cancelled on the machine", native_text=found.text)
            case Phase.FAILED:
                self._end_run("failed", reason="MACHINE_FAILED", text=found.text)

    def _end_run(self, outcome: str, *, reason: str, text: str) -> None:
        if self._print is not None and not self._print.over:
            cause = "EMERGENCY_STOP" if self._triggered else reason
            self._print.end(outcome, reason=cause, native_text=text)

    def _expect(self, run: RemoteRun) -> None:
        """The machine should have named the program by now."""
        if run is self._print and not run.seen:
            self._doubt()

    def _doubt(self) -> None:
        """The program is not named, or not any more: ask the machine and its memory."""
        if self._doubts is None or self._doubts.done():
            self._doubts = asyncio.get_running_loop().create_task(self._reconsider())

    async def _reconsider(self) -> None:
        with contextlib.suppress(DeviceError, TimeoutError):  # the next connection asks again
            await self._reconcile()

    async def _reconcile(self) -> None:
        """Compare the run with what the machine says now. Never guesses: no word is unknown."""
        run = self._print
        if run is None or run.over:
            return
        found = await self._find(run.file_name)
        if found is not None:
            self._saw(found)
            return
        text = "the machine says nothing of this program any more"
        if not run.seen:
            text = "the machine took the order to start and never named the program"
        self._end_run("unknown", reason="NOT_ON_THE_MACHINE", text=text)

    def _stop_doubting(self) -> None:
        if self._doubts is not None:
            self._doubts.cancel()
            self._doubts = None
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _lose(self, error: DeviceError) -> None:
        """The link is gone, told once; the run is not: the machine goes on alone."""
        if self._state.status.availability is not Availability.AVAILABLE:
            return
        self._stop_doubting()
        self._unreachable(error)
        self._state.tell(LinkLost(error))
