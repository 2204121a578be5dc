"""A whole shop in memory: real aggregates, real handlers, real processes; bridges, people and the
network are played by seeded chance. No clock, no server, no thread."""

import random
from collections import defaultdict, deque
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid5

import commands.service  # noqa: F401 - fills the register of handlers
from commands.handling import HANDLERS
from commands.principal import Principal
from commands.processes.outputs import Ask, ClearTimer, Output, Relay, Send, SetTimer
from commands.processes.progress import Progress
from commands.processes.runner import Processes
from commands.world import AlreadyObeyedError
from domain.ports import ArtifactRef
from domain.shared.aggregate import ImeweAggregate
from domain.shared.errors import ImeweError, NotFoundError, UnavailableError
from domain.shared.identifiers import IMEWE, command_name, derived, event_id
from domain.shared.recorded import Actor, Envelope, RecordedEvent

ORGANISATION = str(uuid5(IMEWE, "organisation"))
START = datetime(2026, 11, 21, 10, tzinfo=UTC)
SERVICE = Principal(kind="service", id="processes")
BRIDGE = Principal(kind="bridge", id="local")
PERSON = Principal(kind="user", id="anna")


class MemoryWorld:
    """What handlers use of ``commands.world.World``, over a dictionary."""

    organisation_id = ORGANISATION
    ports = SimpleNamespace(artifacts=SimpleNamespace(info=lambda digest, _: _file(digest)))

    def __init__(
        self, aggregates: dict[UUID, ImeweAggregate], by: Principal, name: str, now: datetime
    ) -> None:
        self._aggregates = aggregates
        self.principal = by
        self.by = str(by)
        self.now = now
        self._name = name

    def get(self, kind: type[Any], aggregate_id: str) -> Any:
        found = self.find(kind, UUID(aggregate_id))
        if found is None:
            raise NotFoundError(f"there is no {kind.__name__} {aggregate_id}")
        return found

    def find(self, kind: type[Any], aggregate_id: UUID) -> Any:
        found = self._aggregates.get(aggregate_id)
        if found is not None and self._name in found.commands:
            raise AlreadyObeyedError(found)
        return found

    def fresh(self, kind: type[Any], new_id: UUID | None = None, *, look: bool = False) -> UUID:
        new = new_id or derived(kind.__name__.lower(), self._name)
        if new in self._aggregates:
            raise AlreadyObeyedError(self._aggregates[new])
        return new

    def home(self) -> str:
        return self.organisation_id

    def in_own_words(self, text: str) -> str:
        return text


class Log:
    """Decides on commands by the real handlers and records what follows."""

    def __init__(self) -> None:
        self.events: list[RecordedEvent] = []
        self.aggregates: dict[UUID, ImeweAggregate] = {}

    def obey(
        self,
        command: Any,
        *,
        by: Principal,
        command_id: str,
        causation: str = "",
        correlation: str = "",
    ) -> ImeweAggregate:
        """Decide and record. Raises the typed refusals."""
        name = command_name(ORGANISATION, str(by), command_id)
        now = START + timedelta(seconds=len(self.events))
        world: Any = MemoryWorld(self.aggregates, by, name, now)
        try:
            aggregate = HANDLERS[type(command).__name__].decide(command, world)
        except AlreadyObeyedError as known:
            return known.aggregate
        if aggregate.pending_events:
            self.aggregates[aggregate.id] = aggregate
            aggregate.remember(name, aggregate.version)
        for event in aggregate.collect_events():
            told = Envelope(
                command_id=name,
                causation_id=causation or name,
                correlation_id=correlation or name,
                organisation_id=ORGANISATION,
                site_id="",
                actor=Actor(kind=by.kind, id=by.id),
                occurred_at=now,
            )
            self._record(aggregate, event, told, now)
        return aggregate

    def all(self, kind: type[Any]) -> list[Any]:
        """Every aggregate of a kind."""
        return [found for found in self.aggregates.values() if isinstance(found, kind)]

    def _record(
        self, aggregate: ImeweAggregate, event: Any, envelope: Envelope, now: datetime
    ) -> None:
        topic: str = type(event).TOPIC
        version = event.originator_version
        self.events.append(
            RecordedEvent(
                event=event,
                envelope=envelope,
                position=len(self.events) + 1,
                kind=topic.removeprefix("imewe.").partition(":")[0],
                aggregate_id=aggregate.id,
                version=version,
                event_id=event_id(aggregate.id, version),
                recorded_at=now,
                stored_at=now,
                topic=topic,
                schema_version=1,
                previous_hash="",
                hash="",
                body=b"",
            )
        )


class Runner:
    """The service around the processes: lanes, position, crashes; one thing at a time."""

    def __init__(self, log: Log, chance: random.Random) -> None:
        self.log = log
        self.chance = chance
        self.lossy = 0.0
        self.timers: dict[str, datetime] = {}
        self.work: list[Relay] = []
        self.asked: list[Ask] = []
        self.refused: list[tuple[Send, ImeweError]] = []
        self.processes = Processes()
        self.progress = Progress(0)
        self.lanes: dict[str, deque[tuple[int, deque[Output]]]] = defaultdict(deque)

    @property
    def idle(self) -> bool:
        return not self.lanes and self.processes.fleet.position == len(self.log.events)

    def read(self) -> None:
        """Take the next event of the log."""
        position = self.processes.fleet.position
        if position < len(self.log.events):
            recorded = self.log.events[position]
            self.take(recorded.position, self.processes.step(recorded))

    def take(self, position: int, outputs: list[Output]) -> None:
        """Line up what a step asks for, each in its lane."""
        by_lane: dict[str, deque[Output]] = defaultdict(deque)
        for output in outputs:
            by_lane[output.lane].append(output)
        if position:
            self.progress.begin(position, len(by_lane))
        for lane, waiting in by_lane.items():
            self.lanes[lane].append((position, waiting))

    def work_off(self) -> None:
        """Do one thing of one lane; a lost request or answer leaves it at its place."""
        if not self.lanes:
            return
        lane = self.chance.choice(list(self.lanes))
        position, waiting = self.lanes[lane][0]
        self._do(waiting)
        if not waiting:
            self.lanes[lane].popleft()
            if position:
                self.progress.done(position)
        if not self.lanes[lane]:
            del self.lanes[lane]

    def crash(self) -> None:
        """Lose everything but the mark and what lies on the server; begin again from there."""
        self.processes = Processes()
        for recorded in self.log.events[: self.progress.mark]:
            self.processes.remember(recorded)
        self.lanes.clear()
        self.progress = Progress(self.progress.mark)
        self.take(0, self.processes.take_over())

    def ring(self) -> None:
        """Let one alarm go off; it is forgotten only when what follows is done."""
        if self.timers:
            timer = self.chance.choice(list(self.timers))
            now = self.timers.pop(timer)
            for output in self.processes.due(timer, now=now):
                self._obey(output)

    def _do(self, waiting: deque[Output]) -> None:
        try:
            if self.chance.random() < self.lossy:
                raise UnavailableError("the request was lost")
            follow_up = self._obey(waiting[0])
            if self.chance.random() < self.lossy:
                raise UnavailableError("the answer was lost")
        except UnavailableError:
            return
        waiting.popleft()
        if follow_up is not None:
            waiting.clear()
            waiting.append(follow_up)

    def _obey(self, output: Output) -> Send | None:
        match output:
            case Send():
                try:
                    self.log.obey(
                        output.command,
                        by=SERVICE,
                        command_id=output.command_id,
                        causation=output.causation_id,
                        correlation=output.correlation_id,
                    )
                except ImeweError as error:
                    self.refused.append((output, error))
                    return output.on_refusal
            case Relay():
                self.work.append(output)
            case Ask():
                self.asked.append(output)
            case SetTimer():
                self.timers[output.timer_id] = output.due
            case ClearTimer():
                self.timers.pop(output.timer_id, None)
        return None


def _file(digest: str) -> ArtifactRef:
    return ArtifactRef(digest=digest, size=1000, format="gcode", name=f"{digest}.gcode")
