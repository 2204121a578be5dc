"""Runs the process managers: owns order, position and sending. One is active at a time."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

import commands.application  # noqa: F401 - every event's class must be known before it is read
from commands.dispatches.messages import ChooseNode
from commands.processes.assessing import Assessor
from commands.processes.outputs import Output, Send
from commands.processes.progress import Progress
from commands.processes.runner import Processes
from domain.ports import Clock, CommandPort
from domain.shared.errors import UnavailableError
from domain.shared.recorded import RecordedEvent
from ops.eventstore.reader import LogReader, PoisonEventError
from ops.messaging.relay import WorkRelay
from ops.messaging.timers import Timers
from ops.processing.assessing import Bench
from ops.processing.doing import Doer
from ops.processing.lanes import Lanes
from ops.processing.lease import Lease, LeaseLostError

BATCH: Final = 500
WAIT_S: Final = 5.0
STORE_S: Final = 1.0
RENEW_S: Final = 3.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What the runner reaches beside the log."""

    commands: CommandPort
    relay: WorkRelay
    timers: Timers
    assessor: Assessor
    clock: Clock


class Runner:
    """One run: from taking the lease until it is lost or the service ends."""

    def __init__(
        self, outside: Outside, lease: Lease, reader: LogReader, *, accept_within: timedelta
    ) -> None:
        self._outside = outside
        self._lease = lease
        self._reader = reader
        self._processes = Processes(accept_within=accept_within)
        self._progress = Progress(0)
        self._doer = Doer(outside.commands, outside.relay, outside.timers, refused=self._refused)
        self._lanes = Lanes(self._doer.do, self._progress)
        self._bench = Bench(outside.assessor, outside.commands)
        self._parked: set[UUID] = set()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return self._lanes.idle and self._bench.idle

    @property
    def processes(self) -> Processes:
        """The fold, for those who look at it."""
        return self._processes

    async def run(self) -> None:
        """Work until cancelled. Raises ``LeaseLostError`` when another runner is active."""
        position = await self._lease.acquire()
        log.info("processes take over", position=position)
        try:
            await self._remember(position)
            self._progress.mark = position
            await self._lanes.take(0, self._processes.take_over())
            await self._work()
        finally:
            self._reader.stop()
            await self._bench.stop()
            await self._lanes.stop()
            with contextlib.suppress(UnavailableError, LeaseLostError):
                await self._lease.give_up(self._progress.mark)

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as together:
            together.create_task(self._follow())
            together.create_task(self._keep_lease())
            together.create_task(self._outside.timers.listen(self._rang))

    async def _remember(self, upto: int) -> None:
        """Fold what was done before, without a single command."""
        renewed = 0.0
        loop = asyncio.get_running_loop()
        while self._processes.fleet.position < upto:
            for recorded in await self._read(upto):
                self._guarded(recorded, self._inert)
            if loop.time() - renewed > RENEW_S:
                await self._lease.keep(upto)
                renewed = loop.time()

    def _inert(self, recorded: RecordedEvent) -> list[Output]:
        self._processes.remember(recorded)
        return []

    async def _follow(self) -> None:
        while True:
            events = await self._read(None)
            for recorded in events:
                outputs = self._guarded(recorded, self._processes.step)
                await self._lanes.take(recorded.position, outputs)
            self._bench.look(self._processes.fleet)
            if not events:
                await asyncio.to_thread(self._reader.wait, WAIT_S)

    async def _read(self, upto: int | None) -> list[RecordedEvent]:
        """The next events; one that cannot be read parks its aggregate and nothing else."""
        fleet = self._processes.fleet
        limit = BATCH if upto is None else min(BATCH, upto - fleet.position)
        try:
            return await asyncio.to_thread(self._reader.read, fleet.position, limit)
        except PoisonEventError as poison:
            log.error(
                "an event cannot be read: its object is left alone from here on",
                position=poison.position,
                kind=poison.kind,
                aggregate=poison.aggregate_id,
                reason=poison.reason,
            )
            self._parked.add(UUID(poison.aggregate_id))
            fleet.position = poison.position
        except UnavailableError as problem:
            log.info("the log is away", problem=problem.message)
            await asyncio.sleep(1.0)
        return []

    def _guarded(
        self, recorded: RecordedEvent, step: Callable[[RecordedEvent], list[Output]]
    ) -> list[Output]:
        """A step that fails is our mistake: it is told and must not hold up all other work."""
        fleet = self._processes.fleet
        if recorded.aggregate_id not in self._parked:
            try:
                return step(recorded)
            except Exception:
                log.exception("a step failed", position=recorded.position, topic=recorded.topic)
        fleet.position = recorded.position
        return []

    async def _keep_lease(self) -> None:
        stored, renewed = -1, 0.0
        loop = asyncio.get_running_loop()
        while True:
            mark = self._progress.mark
            if mark != stored or loop.time() - renewed >= RENEW_S:
                try:
                    await self._lease.keep(mark)
                    stored, renewed = mark, loop.time()
                except UnavailableError as problem:
                    log.info("the lease cannot be renewed", problem=problem.message)
            await asyncio.sleep(STORE_S)

    async def _rang(self, timer_id: str) -> None:
        """Done before the alarm is forgotten: no position stands for it after a crash."""
        outputs = self._processes.due(timer_id, now=self._outside.clock.now())
        log.info("alarm", timer=timer_id, outputs=len(outputs))
        for output in outputs:
            await self._lanes.patiently(output)

    def _refused(self, send: Send) -> None:
        if isinstance(send.command, ChooseNode):
            self._processes.fleet.withdraw_offer(send.command.dispatch_id)
