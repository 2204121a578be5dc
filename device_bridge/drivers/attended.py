"""The attended machine: no wire, a person. Nothing is simulated: what they say is what is known.

A build lies before the person as a task. ``start`` is said before the machine's own button is
pressed: the journal has it first, and a build that was withdrawn is refused in time. From then on
the machine runs whether or not this bridge lives; a restarted bridge asks the person again.
"""

import asyncio
import shutil
from pathlib import Path
from time import monotonic
from typing import Any

from device_bridge.attending import NotStartedError, Said, Word
from device_bridge.drivers.base import Driver
from device_bridge.drivers.spec import DriverSpec, Option, Quality
from device_bridge.drivers.state import MachineState
from device_bridge.errors import (
    DeviceError,
    EmergencyLatchedError,
    MachineBusyError,
    NotHeldError,
    UnsupportedError,
    WithdrawnError,
)
from device_bridge.machines import MachineConfig
from device_bridge.protocols import (
    Beginning,
    CalibrationResult,
    DeviceIdentity,
    DeviceStatus,
    EStopReceipt,
    JobSpec,
    Progressed,
    RunHandle,
    RunResult,
    TelemetrySample,
)
from domain.node.states import Availability, EmergencyStop, Execution

PARTS = 1000
"""A person reports no lines: 1 of so many is "begun", all of them is "finished"."""
GO = "fetch the file, say start, then start the machine by hand"
STOP_IT = "stop the machine by hand, then say scrap"
LOOK = "the bridge restarted meanwhile: look at the machine, then say finish or scrap"
HOLD = "hold the machine by hand, then say pause"
GO_ON = "let the machine go on by hand, then say resume"
AFTER = "when it is done say finish, else scrap"
NO_STOP = "nothing was stopped: this machine has no wire. Tell the person beside it now"


class Task:
    """One build before a person."""

    def __init__(self, build_id: str, file: Path | None) -> None:
        loop = asyncio.get_running_loop()
        self.build_id = build_id
        self.file = file
        self.ask = GO
        self.since = monotonic()
        self.started_at: float | None = None
        self.cancelled = False
        self.word: asyncio.Future[None] = loop.create_future()
        self.begun: asyncio.Future[BaseException | None] = loop.create_future()
        self.result: asyncio.Future[RunResult] = loop.create_future()
        self.handle = RunHandle(build_id=build_id, lines_total=PARTS, result=self.result)

    @property
    def running(self) -> bool:
        """A person began it and did not say how it ended."""
        return self.begun.done() and self.begun.result() is None and not self.result.done()

    def asks(self, text: str) -> None:
        """Something new is wanted of the person."""
        if self.ask != text:
            self.ask, self.since = text, monotonic()

    def end(self, outcome: str, word: Word, *, reason: str = "") -> None:
        """The person's word is the result; the first holds."""
        ran = None if self.started_at is None else round((monotonic() - self.started_at) * 1000)
        self.result.set_result(
            RunResult(
                outcome=outcome,
                lines_done=PARTS if outcome == "finished" else 1,
                lines_total=PARTS,
                material_mm3=0,
                material_mg=word.material_mg,
                reason=reason,
                native_text=f"{word.by}: {word.reason}" if word.reason else word.by,
                duration_ms=ran,
            )
        )


class AttendedMachine(Driver[MachineState]):
    """Tells a person what to do and believes what they say."""

    continues_without_host = True

    def __init__(self, *, folder: Path | None = None, instructions: str = "") -> None:
        super().__init__(MachineState())
        self._folder = folder
        self._instructions = instructions
        self._task: Task | None = None

    async def connect(self) -> DeviceIdentity:
        """There is nothing to reach: the person is asked when there is something to do."""
        execution = Execution.ACTIVE if self._running else Execution.READY
        self._state.become(DeviceStatus(availability=Availability.AVAILABLE, execution=execution))
        return DeviceIdentity(firmware="a person", dialect="attended")

    async def disconnect(self) -> None:
        """The machine and its person go on."""
        self._state.become(DeviceStatus())

    async def execute_job(self, job: JobSpec, *, beginning: Beginning | None = None) -> RunHandle:
        """Lay the file out and wait, as long as it takes, for a person to start it."""
        if self._task is not None and not self._task.result.done():
            raise MachineBusyError("a build lies before the person already")
        self._require_ready()
        file = await asyncio.to_thread(self._lay_out, job)
        task = self._task = Task(job.build_id, file)
        try:
            await task.word
            if beginning is not None:
                await beginning()
            self._require_free()
        except BaseException as problem:
            self._task = None
            task.begun.set_result(problem)
            raise
        task.started_at = monotonic()
        self._runs(task)
        return task.handle

    async def follow(self, build_id: str) -> RunHandle | None:
        """A build that a person began under an earlier life of this bridge: they are asked."""
        if self._running:
            return None
        task = self._task = Task(build_id, await asyncio.to_thread(self._laid_out, build_id))
        asyncio.get_running_loop().call_soon(self._runs, task)
        task.begun.set_result(None)
        task.asks(LOOK)
        return task.handle

    def task(self) -> dict[str, Any] | None:
        """What waits for the person."""
        task = self._task
        if task is None or task.result.done():
            return None
        return {
            "build_id": task.build_id,
            "state": self._state.status.execution if task.running else "WAITING",
            "file": str(task.file or ""),
            "ask": task.ask,
            "instructions": self._instructions,
            "waiting_s": round(monotonic() - task.since, 1),
        }

    async def hear(self, word: Word) -> None:
        """Take the person's word; the same word again changes nothing."""
        task = self._task
        if task is None or task.build_id != word.build_id or task.result.done():
            raise MachineBusyError(f"build {word.build_id} does not lie before this person")
        if word.said is Said.START:
            await self._start(task)
            return
        if not task.running:
            raise NotStartedError("nobody said start", remedy=f"imewe attend start {task.build_id}")
        match word.said:
            case Said.FINISH:
                self._end(task, "finished", word)
            case Said.SCRAP if task.cancelled and not self._triggered:
                self._end(task, "cancelled", word)
            case Said.SCRAP:
                cause = "EMERGENCY_STOP" if self._triggered else "SCRAPPED_BY_PERSON"
                self._end(task, "failed", word, reason=cause)
            case Said.PAUSE:
                self._becomes(Execution.FEED_HOLD)
            case Said.RESUME:
                self._becomes(Execution.ACTIVE)
                task.asks(AFTER)

    def withdraw(self, build_id: str) -> None:
        """Take a task away that nobody has begun."""
        self._refuse(build_id, WithdrawnError(f"build {build_id} was withdrawn"))

    async def pause(self) -> None:
        """Held when the person said so; else they are asked. Raises ``NotHeldError``."""
        task = self._require_task()
        if self._state.status.execution is not Execution.FEED_HOLD:
            task.asks(HOLD)
            raise NotHeldError("a person must hold this machine; they are asked to")

    async def resume(self) -> None:
        """Going on when the person said so; else they are asked. Raises ``NotHeldError``."""
        task = self._require_task()
        if self._state.status.execution is Execution.FEED_HOLD:
            task.asks(GO_ON)
            raise NotHeldError("a person must let this machine go on; they are asked to")

    async def cancel(self) -> RunResult:
        """Ask the person to stop it, and wait until they say that they did."""
        task = self._require_task()
        if task.cancelled:
            raise MachineBusyError("a person was asked to stop it already")
        task.cancelled = True
        task.asks(STOP_IT)
        return await asyncio.shield(task.result)

    async def emergency_stop(self) -> EStopReceipt:
        """Never confirmed: only a person can stop it. Latched; no task may begin."""
        began = monotonic()
        self._latch()
        task = self._task
        if self._running and task is not None:
            task.asks(f"EMERGENCY STOP: {STOP_IT}")
        elif task is not None:
            self._refuse(task.build_id, EmergencyLatchedError("the emergency stop is latched"))
        return self._receive(began, confirmed=False, text=NO_STOP)

    async def clear_fault(self, operator: str) -> DeviceIdentity:
        """The person says that the machine may be used again."""
        self._state.become(self._state.status.but(emergency_stop=EmergencyStop.ARMED))
        return await self.connect()

    async def calibrate(self, routine: str) -> CalibrationResult:
        """Raises ``UnsupportedError``."""
        raise UnsupportedError("a person calibrates this machine")

    def get_telemetry(self) -> TelemetrySample:
        """None: no wire, no readings."""
        return TelemetrySample(mono_s=monotonic(), metrics={})

    async def heat_off(self) -> None:
        """Raises ``UnsupportedError``."""
        raise UnsupportedError("only a person can switch this machine off")

    @property
    def _running(self) -> bool:
        return self._task is not None and self._task.running

    def _require_task(self) -> Task:
        if self._task is None or not self._task.running:
            raise MachineBusyError("no build runs on this machine")
        return self._task

    async def _start(self, task: Task) -> None:
        if not task.word.done():
            task.word.set_result(None)
        refusal = await asyncio.shield(task.begun)
        if isinstance(refusal, DeviceError):
            raise refusal
        if refusal is not None:
            raise MachineBusyError("the bridge is ending: do not start the machine")

    def _runs(self, task: Task) -> None:
        if not task.begun.done():
            task.begun.set_result(None)
            task.asks(AFTER)
        self._becomes(Execution.ACTIVE)
        started = Progressed(build_id=task.build_id, lines_done=1, lines_total=PARTS)
        self._state.tell(started)

    def _end(self, task: Task, outcome: str, word: Word, *, reason: str = "") -> None:
        self._becomes(Execution.READY)
        task.end(outcome, word, reason=reason)
        if task.file is not None and self._folder is not None:
            task.file.unlink(missing_ok=True)

    def _refuse(self, build_id: str, problem: DeviceError) -> None:
        task = self._task
        if task is not None and task.build_id == build_id and not task.word.done():
            task.word.set_exception(problem)

    def _becomes(self, execution: Execution) -> None:
        self._state.become(self._state.status.but(execution=execution))

    def _laid_out(self, build_id: str) -> Path | None:
        """The file that an earlier life of this bridge put into the folder."""
        found = self._folder.glob(f"{build_id}.*") if self._folder is not None else ()
        return next(iter(found), None)

    def _lay_out(self, job: JobSpec) -> Path:
        """Where the person takes the file from: the folder of the option, else the spool."""
        if self._folder is None:
            return job.program
        place = self._folder / f"{job.build_id}.{job.format}"
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(job.program, place)
        except OSError as problem:
            raise DeviceError(
                f"the file cannot be laid out: {problem.strerror}", remedy=f"look at {place.parent}"
            ) from problem
        return place


def _make(machine: MachineConfig) -> AttendedMachine:
    folder = machine.options.get("folder", "")
    return AttendedMachine(
        folder=Path(folder) if folder else None,
        instructions=machine.options.get("instructions", ""),
    )


DRIVER = DriverSpec(
    name="attended",
    title="any machine without a wire, driven by a person",
    schemes=("person",),
    make=_make,
    quality=Quality.BRONZE,
    options=(
        Option(name="folder", help="where files are laid out: a card, a stick, a shared folder"),
        Option(name="instructions", help="what the person is told with each build"),
    ),
)
