"""One machine's session: link, probe, at most one build, and what the core is told of it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import structlog

from device_bridge.attending import Attended, Said, Word
from device_bridge.energy import EnergyCount
from device_bridge.errors import (
    DeviceError,
    EmergencyLatchedError,
    MachineBusyError,
    NotHeldError,
    UnsupportedError,
    WithdrawnError,
)
from device_bridge.journal import BuildState, Entry, Journal
from device_bridge.outbox import Courier
from device_bridge.outcomes import NO_FIGURES, ending, unknown
from device_bridge.protocols import (
    DeviceDriver,
    DeviceEvent,
    DeviceIdentity,
    DeviceStatus,
    EStopReceipt,
    JobSpec,
    LinkLost,
    Progressed,
    RunHandle,
    RunResult,
    RunsAlone,
    Sampled,
    StatusChanged,
    Working,
)
from device_bridge.reporter import Reporter
from device_bridge.safety.guard import Guard, Hands
from device_bridge.safety.latches import Latches
from device_bridge.safety.program_check import demand_sound
from device_bridge.safety.stops import RawStop, Stops
from device_bridge.safety.watch import Watch, told
from device_bridge.session_state import SessionState
from device_bridge.telemetry.sampler import Sampler
from device_bridge.work import Work
from domain.node.states import Availability, EmergencyStop, Execution

FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 5.0


class Session:
    """Keeps one machine connected and runs builds on it.

    After a restart or a reconnect it probes and reports, and never resumes by itself: a build
    whose end was not seen becomes a question to a person (``ReportOutcomeUnknown``).
    """

    def __init__(
        self,
        node_id: str,
        driver: DeviceDriver,
        *,
        journal: Journal,
        courier: Courier,
        sampler: Sampler,
        energy: EnergyCount,
        virtual: bool,
        latches: Latches,
        raw_stop: RawStop,
        watch: Watch,
    ) -> None:
        self.node_id = node_id
        self.state = SessionState.DISCONNECTED
        self._driver = driver
        self._journal = journal
        self._courier = courier
        self._sampler = sampler
        self._energy = energy
        self._virtual = virtual
        self._reporter = Reporter(node_id, courier)
        self._work: Work | None = None
        self._lost = asyncio.Event()
        self._connected = False
        self._complaint = ""
        self._turn = asyncio.Lock()
        self._stops = Stops(
            node_id,
            driver,
            latches,
            post=lambda name, payload: courier.post(node_id, name, payload),
            raw=raw_stop,
        )
        self._unlatched = asyncio.Event()
        if not self._stops.latched:
            self._unlatched.set()
        self._watch = watch
        hands = Hands(
            warn=self._warn,
            relieve=lambda code: self._reporter.relieve(code, self.status),
            pause=self.pause,
            halt=self.emergency_stop,
        )
        self._guard = Guard(
            node_id, driver, watch.policy, hands, stalls=watch.stalls, acts=watch.acts
        )
        self._ready = asyncio.Event()
        self._found: asyncio.Queue[tuple[Work, RunHandle]] = asyncio.Queue()
        self._log = structlog.get_logger("bridge.session").bind(node_id=node_id)
        driver.listen(self._heard)

    @property
    def build_id(self) -> str:
        """The build on the machine, or nothing."""
        return self._work.build_id if self._work else ""

    @property
    def status(self) -> DeviceStatus:
        """The machine's last known status; a stop that nobody cleared outlasts the driver."""
        status = self._driver.get_status()
        return status.but(emergency_stop=EmergencyStop.TRIGGERED) if self._stops.latched else status

    @property
    def at_work(self) -> bool:
        """Whether it must not be left alone: a build, heat, or a spindle that turns."""
        return self._guard.at_work

    @property
    def _latched(self) -> bool:
        triggered = self.status.emergency_stop is EmergencyStop.TRIGGERED
        return triggered or not self._unlatched.is_set()

    @property
    def _sound(self) -> bool:
        """Connected, and nothing for a person to clear."""
        at_work = {SessionState.IDLE, SessionState.STREAMING, SessionState.PAUSED}
        halted = self.status.execution in {Execution.STOPPED, Execution.UNAVAILABLE}
        return self.state in at_work and not halted and not self._latched

    async def ready(self) -> None:
        """Wait until a build may be taken: connected, probed, idle."""
        await self._ready.wait()

    async def run(self) -> None:
        """Keep the machine connected; cancel to stop."""
        if self._stops.latched:
            self.state = SessionState.STOPPED
            self._reporter.observed(self.status)
            await self._stops.recall()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reporter.run())
            group.create_task(self._stay_connected())
            group.create_task(self._guard.run())
            group.create_task(self._follow())

    async def perform(
        self, work: Work, program: Path, *, wanted: Callable[[], bool] = lambda: True
    ) -> RunResult:
        """Run one accepted build to its end and report it.

        The journal says STARTED once program and machine are found good and before the first
        byte; the core hears it at the first acknowledgement. Raises a ``DeviceError`` when no
        byte was written: ``WithdrawnError`` when the build is not ``wanted`` any more.
        """
        if self._work is not None or not self._ready.is_set():
            raise MachineBusyError(f"machine of node {self.node_id} is {self.state}")
        self._take(work)
        return await self._to_its_end(work, lambda: self._drive(work, program, wanted))

    def _take(self, work: Work) -> None:
        self._work = work
        self._reporter.begins(work)
        self._ready.clear()

    async def _to_its_end(
        self, work: Work, run: Callable[[], Awaitable[RunResult]], *, seen_whole: bool = True
    ) -> RunResult:
        try:
            await self._energy.begin()
            result = self._guard.judged(await run())
            self._guard.ends(known=result.outcome != "unknown")
            await self._conclude(work, result, seen_whole=seen_whole)
            return result
        finally:
            self._work = None
            self._guard.ends(known=True)
            self._sampler.belongs_to("")
            self._energy.end()
            self._settle()
            self._reporter.hold_settled(self.status)

    async def pause(self, build_id: str) -> None:
        """Hold the machine and report that it holds, or warn that it does not."""
        work = self._working_on(build_id)
        try:
            await self._driver.pause()
        except NotHeldError as problem:
            self._reporter.not_held(problem.message, self.status)
            raise
        self._reporter.hold_settled(self.status)
        self.state = SessionState.PAUSED
        paused = (("ReportPaused", {"build_id": build_id}),)
        await self._record(work, BuildState.PAUSED, reports=paused)

    async def resume(self, build_id: str) -> None:
        """Go on and report it."""
        work = self._working_on(build_id)
        await self._driver.resume()
        self._reporter.hold_settled(self.status)
        self.state = SessionState.STREAMING
        resumed = (("ReportResumed", {"build_id": build_id}),)
        await self._record(work, BuildState.STARTED, reports=resumed)

    async def cancel(self, build_id: str) -> None:
        """End the build; its result is reported by ``perform``."""
        self._working_on(build_id)
        await self._driver.cancel()

    def task(self) -> dict[str, Any] | None:
        """What waits for the person of a machine without a wire, if anything does."""
        task = self._driver.task() if isinstance(self._driver, Attended) else None
        if task is None or self._work is None:
            return None
        work = self._work
        return {**task, "node_id": self.node_id, "part_id": work.part_id, "digest": work.digest}

    async def attend(self, word: Word) -> None:
        """Take a person's word about the build before them, and report what follows from it."""
        if not isinstance(self._driver, Attended):
            raise UnsupportedError("this machine speaks for itself: it is no attended one")
        self._working_on(word.build_id)
        await self._driver.hear(word)
        if word.said is Said.PAUSE:
            await self.pause(word.build_id)
        elif word.said is Said.RESUME:
            await self.resume(word.build_id)

    def withdraw(self, build_id: str) -> None:
        """An accepted build is not wanted any more; a person may still sit before it."""
        if isinstance(self._driver, Attended):
            self._driver.withdraw(build_id)

    async def emergency_stop(self, stopped_by: str) -> EStopReceipt:
        """Stop first, record after; latched from here on, whatever the machine answers."""
        self._unlatched.clear()
        receipt = await self._stops.stop(stopped_by)
        self.state = SessionState.STOPPED
        self._ready.clear()
        return receipt

    async def clear_fault(self, operator: str, *, keep_stop: bool = False) -> None:
        """A person says that the machine may be used again; a sound machine is left alone.

        ``keep_stop``: only a fault is meant, a latched emergency stop is not.
        """
        async with self._turn:
            if self._sound:
                return
            if keep_stop and self._latched:
                raise EmergencyLatchedError(
                    "an emergency stop is latched", remedy="clear the emergency stop instead"
                )
            if self._work is not None:
                raise MachineBusyError("a build is still on the machine")
            asked = self._stops.asked
            await self._stops.hush()
            await self._clear(operator, asked)
        if not self._stops.latched:
            self._unlatched.set()

    async def _clear(self, operator: str, asked: int) -> None:
        """Machine and latch; a machine that is only read has nothing but the latch."""
        if not self._watch.acts:
            await self._stops.lift(asked=asked)
            self._settle(probed=self._connected)
            self._reporter.observed(self.status)
            return
        self._connected = False
        identity = await self._driver.clear_fault(operator)
        await self._stops.lift(asked=asked)
        await self._introduce(identity)
        self._connected = True

    async def calibrate(self, routine: str) -> None:
        """Run one of the machine's own routines while nothing else is on it."""
        if not self._ready.is_set():
            raise MachineBusyError(f"machine of node {self.node_id} is {self.state}")
        self._ready.clear()
        try:
            await self._driver.calibrate(routine)
        finally:
            self._settle()

    async def _stay_connected(self) -> None:
        wait = FIRST_RETRY_S
        while True:
            await self._unlatched.wait()
            try:
                await self._connect()
            except DeviceError as problem:
                self._say_unreachable(problem)
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST_RETRY_S)
                continue
            wait = FIRST_RETRY_S
            await self._lost.wait()
            self._lost.clear()
            async with self._turn:
                self._connected = False
                self.state = SessionState.DISCONNECTED
                self._ready.clear()
                await self._driver.disconnect()

    async def _connect(self) -> None:
        async with self._turn:
            if self._connected:
                return
            self.state = SessionState.PROBING
            await self._introduce(await self._driver.connect())
            self._connected = True
            self._complaint = ""

    async def _introduce(self, identity: DeviceIdentity) -> None:
        self.state = SessionState.PROBING
        self._reporter.connected(identity, self.status, virtual=self._virtual)
        await self._question_unfinished()
        self._settle(probed=True)
        self._reporter.observed(self.status)
        self._log.info("machine_connected", firmware=identity.firmware)

    def _warn(self, code: str, kind: str, text: str) -> None:
        self._reporter.warn(self.status, type=kind, code=code, text=text)

    def _say_unreachable(self, problem: DeviceError) -> None:
        """Once for each different complaint, not at each try."""
        self.state = SessionState.DISCONNECTED
        if problem.message != self._complaint:
            self._complaint = problem.message
            self._log.info("machine_unreachable", code=problem.code, problem=problem.message)

    async def _question_unfinished(self) -> None:
        """Builds that began under an earlier life of this bridge: nobody knows their end.

        Their heat belongs to nobody; what the watcher did meanwhile stands beside the question.
        """
        deed = await asyncio.to_thread(self._watch.deed)
        facts = {"made_safe": deed} if deed else {}
        for entry in await self._journal.unfinished(self.node_id):
            if entry.state is BuildState.ACCEPTED or entry.work.build_id == self.build_id:
                continue
            if await self._found_running(entry.work):
                continue
            self._guard.orphan()
            await self._ask(entry, "the bridge restarted while the build was on the machine", facts)
        if deed:
            self._guard.made_safe(told(deed))

    async def _found_running(self, work: Work) -> bool:
        """A machine that runs alone still knows the build: it is followed, never started."""
        if self._work is not None or not isinstance(self._driver, RunsAlone):
            return False
        handle = await self._driver.follow(work.build_id)
        if handle is None:
            return False
        self._take(work)
        self._found.put_nowait((work, handle))
        self._log.info("build_found_on_the_machine", build_id=work.build_id)
        return True

    async def _follow(self) -> None:
        """See builds that an earlier life of this bridge began to their end."""
        while True:
            await self._follow_one(*await self._found.get())

    async def _follow_one(self, work: Work, handle: RunHandle) -> None:
        self._guard.begins(work.build_id)
        self._sampler.belongs_to(work.build_id)
        await self._to_its_end(work, lambda: handle.result, seen_whole=False)

    async def _ask(self, entry: Entry, reason: str, facts: dict[str, Any]) -> None:
        known = {**entry.facts, **facts}
        question = unknown(entry.work, reason, facts=known, status=self.status)
        await self._record(entry.work, BuildState.UNKNOWN, reports=(question,))

    async def _drive(self, work: Work, program: Path, wanted: Callable[[], bool]) -> RunResult:
        async def beginning() -> None:
            await self._record(work, BuildState.STARTED)
            if not wanted():
                raise WithdrawnError(f"build {work.build_id} was withdrawn")
            self._guard.begins(work.build_id)
            await self._watch.announce()
            self._sampler.belongs_to(work.build_id)

        self.state = SessionState.STREAMING
        if work.limits:
            await asyncio.to_thread(demand_sound, program, work.limits, material=work.material)
        job = JobSpec(build_id=work.build_id, program=program, format=work.format)
        return await (await self._driver.execute_job(job, beginning=beginning)).result

    async def _conclude(self, work: Work, result: RunResult, *, seen_whole: bool) -> None:
        if result.lines_done:
            self._reporter.moved()
        measured = await self._energy.figures()
        if not seen_whole:
            measured = {**NO_FIGURES, "duration_ms": result.duration_ms or 0}
        elif isinstance(self._driver, Attended):  # it lay before the person for a while
            measured = {**measured, "duration_ms": result.duration_ms or 0}
        end = ending(work, result, measured=measured, status=self.status)
        await self._record(work, end.state, facts=end.facts, reports=(end.report,))
        self._log.info("build_ended", build_id=work.build_id, outcome=result.outcome)

    async def _record(
        self,
        work: Work,
        state: BuildState,
        *,
        facts: dict[str, Any] | None = None,
        reports: tuple[tuple[str, dict[str, Any]], ...] = (),
    ) -> None:
        await self._reporter.written()
        await self._journal.record(work, state, facts=facts, reports=reports)
        self._courier.wake(self.node_id)

    def _heard(self, event: DeviceEvent) -> None:
        match event:
            case StatusChanged(status):
                if self.state not in {SessionState.DISCONNECTED, SessionState.PROBING}:
                    self._reporter.observed(status)
                self._settle()
            case Sampled(sample):
                self._sampler.take(sample)
                self._reporter.measured(sample, self.status)
                self._guard.measured(sample)
            case Progressed():
                self._guard.working()
                self._reporter.progressed(event)
            case Working():
                self._guard.working()
            case LinkLost(error):
                self._guard.lost()
                self._reporter.lost(error.message)
                self._lost.set()

    def _settle(self, *, probed: bool = False) -> None:
        """State and readiness that follow from the machine's status when nothing runs."""
        unknown_yet = self.state in {SessionState.DISCONNECTED, SessionState.PROBING}
        if self._work is not None and probed:
            held = self.status.execution in {Execution.INTERRUPTED, Execution.FEED_HOLD}
            self.state = SessionState.PAUSED if held else SessionState.STREAMING
        if self._work is not None or (unknown_yet and not probed):
            return
        status = self.status
        if status.emergency_stop is EmergencyStop.TRIGGERED:
            self.state = SessionState.STOPPED
        elif status.availability is not Availability.AVAILABLE:
            return
        elif status.execution in {Execution.READY, Execution.PROGRAM_COMPLETED}:
            self.state = SessionState.IDLE
        else:
            self.state = SessionState.FAULTED
        ready = self.state is SessionState.IDLE
        self._ready.set() if ready else self._ready.clear()

    def _working_on(self, build_id: str) -> Work:
        if self._work is None or self._work.build_id != build_id:
            raise MachineBusyError(f"build {build_id} is not on this machine")
        return self._work

    async def close(self) -> None:
        """Leave the machine as it is and give the port back."""
        await self._stops.close()
        with contextlib.suppress(DeviceError):
            await self._driver.disconnect()
        self._energy.close()
