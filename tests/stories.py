"""Recorded events made by the real aggregates, for those who follow the log."""

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from domain.account.aggregate import Account
from domain.build.aggregate import Build, RunFigures
from domain.dispatch.aggregate import Dispatch
from domain.inventory.aggregate import Inventory
from domain.job.aggregate import Job
from domain.job.states import JobStatus
from domain.node.aggregate import Node
from domain.organisation.aggregate import Organisation
from domain.part.aggregate import Part
from domain.shared.identifiers import build_id, derived, dispatch_id, lot_id, part_id
from domain.shared.personal import Personal
from domain.shared.recorded import Actor, Envelope, RecordedEvent
from ops.eventstore.envelope import event_id
from ops.eventstore.mapper import json_bytes
from ops.eventstore.reader import PoisonEventError

BEGIN = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
ORGANISATION = str(derived("organisation", "shop"))
SEALED = Personal(enc="A256GCM", key="k", nonce="bg==", ct="Yw==")
ARTIFACT = {"digest": "ab" * 32, "size": 10, "format": "gcode", "name": "box.gcode"}
PROFILE = {"process": "fdm", "materials": ["PLA"], "max_size": {"x": 200, "y": 200, "z": 200}}
FIGURES = RunFigures(
    duration_ms=60_000, energy_j=900, energy_source="virtual meter", material_mm3=80, material_mg=99
)
_IN_ENVELOPE = {"originator_id", "originator_version", "timestamp", "command", "originator_topic"}


@dataclass
class Story:
    """Takes the aggregates' pending events down as the log would; its time is its own."""

    now: datetime = BEGIN
    events: list[RecordedEvent] = field(default_factory=list)
    organisation_id: str = ORGANISATION

    def later(self, **span: float) -> None:
        self.now += timedelta(**span)

    def tell(self, *aggregates: Any) -> None:
        for aggregate in aggregates:
            for event in aggregate.collect_events():
                self.events.append(self._recorded(event))

    def envelope(self) -> Envelope:
        return Envelope(
            command_id=f"command {len(self.events)}",
            causation_id="a cause",
            correlation_id="a story",
            organisation_id=self.organisation_id,
            site_id="",
            actor=Actor(kind="user", id="anna"),
            occurred_at=self.now,
        )

    def _recorded(self, event: Any) -> RecordedEvent:
        body = {k: v for k, v in vars(event).items() if k not in _IN_ENVELOPE}
        topic = type(event).TOPIC
        return RecordedEvent(
            event=event,
            envelope=self.envelope(),
            position=len(self.events) + 1,
            kind=topic.partition(":")[0].removeprefix("imewe."),
            aggregate_id=event.originator_id,
            version=event.originator_version,
            event_id=event_id(str(event.originator_id), event.originator_version),
            recorded_at=self.now + timedelta(milliseconds=2),
            stored_at=self._stored_at(),
            topic=topic,
            schema_version=1,
            previous_hash="",
            hash=f"sha256:{len(self.events):064x}",
            body=json_bytes(body),
        )

    def _stored_at(self) -> datetime:
        """Every event a little later than the one before it, as the log server gives them."""
        last = self.events[-1].stored_at if self.events else self.now
        return max(self.now + timedelta(milliseconds=3), last + timedelta(microseconds=50))


class MemoryLog:
    """An event source over a list; ``poison`` positions cannot be read."""

    def __init__(self, events: list[RecordedEvent], poison: frozenset[int] = frozenset()) -> None:
        self.events = events
        self.poison = poison
        self.reads = 0

    def read(self, after: int, limit: int = 1000) -> list[RecordedEvent]:
        self.reads += 1
        found: list[RecordedEvent] = []
        for event in self.events[after : after + limit]:
            if event.position in self.poison:
                if not found:
                    raise _poisoned(event)
                break
            found.append(event)
        return found

    def last_position(self) -> int:
        return len(self.events)

    def events_of(
        self, aggregate_id: str, *, first: int, upto: int
    ) -> tuple[list[RecordedEvent], PoisonEventError | None]:
        found: list[RecordedEvent] = []
        for event in self.events[first - 1 : upto]:
            if str(event.aggregate_id) == aggregate_id:
                if event.position in self.poison:
                    return found, _poisoned(event)
                found.append(event)
        return found, None

    def wait(self, timeout: float) -> bool:
        return False


def _poisoned(event: RecordedEvent) -> PoisonEventError:
    error = PoisonEventError.__new__(PoisonEventError)
    Exception.__init__(error, "poison")
    error.message, error.position, error.kind = "poison", event.position, event.kind
    error.aggregate_id, error.reason = str(event.aggregate_id), "no JSON"
    return error


@dataclass
class Shop:
    """One organisation with a machine and a lot, and jobs that it makes."""

    story: Story
    node: Node
    lot: Inventory
    owner_id: str = "anna"
    number: int = 0

    @classmethod
    def opened(cls, story: Story, *, name: str = "Prusa 1", owner_id: str = "vera") -> "Shop":
        place = story.organisation_id
        node = Node.register(
            derived("node", place, name),
            organisation_id=place,
            owner_id=owner_id,
            name=name,
            bridge="local",
            virtual=True,
        )
        node.configure(PROFILE)
        node.connect({"firmware": "Marlin"})
        node.clear_bed("anna")
        lot = Inventory.open(
            lot_id(node.id, "PLA", "L1"),
            organisation_id=place,
            node_id=str(node.id),
            material="PLA",
            lot="L1",
            density_ug_per_mm3=1240,
        )
        lot.receive(1_000_000)
        story.tell(node, lot)
        return cls(story, node, lot)

    def found(self) -> None:
        """The organisation and one person in it."""
        organisation = Organisation.found(UUID(self.story.organisation_id), name="Shop")
        person = Account.open(
            derived("account", "anna"),
            organisation_id=self.story.organisation_id,
            mail=SEALED,
            name=SEALED,
        )
        person.grant("admin", in_organisation=self.story.organisation_id)
        organisation.admit(str(person.id))
        self.story.tell(organisation, person)

    def order(self, *, quantity: int = 1, name: str = "Box") -> tuple[Job, Part]:
        """A job with one validated, scheduled part."""
        self.number += 1
        place = self.story.organisation_id
        job = Job.submit(
            derived("job", place, self.node.id, self.number),
            organisation_id=place,
            owner_id=self.owner_id,
            name=f"{name} {self.number}",
            priority=5,
            deadline=None,
            parts=[{"name": name, "artifact": ARTIFACT, "material": "PLA", "quantity": quantity}],
        )
        part = Part.order(
            part_id(job.id, 0),
            organisation_id=place,
            job_id=str(job.id),
            line=0,
            name=name,
            artifact=ARTIFACT,
            material="PLA",
            quantity=quantity,
        )
        self.story.tell(job, part)
        part.validate(
            process="fdm",
            program=ARTIFACT,
            size_mm=[10.0, 10.0, 10.0],
            duration_ms=60_000,
            material_mm3=80,
            material_mg=99,
            estimated_by="slicer",
        )
        self.follow(job, part)
        part.schedule()
        self.follow(job, part)
        return job, part

    def follow(self, job: Job, part: Part) -> None:
        self.story.tell(part)
        job.follow_part(str(part.id), part.status)
        self.story.tell(job)

    def begin(
        self, job: Job, part: Part, piece: int, *, attempt: int = 1
    ) -> tuple[Build, Dispatch]:
        """Dispatch a piece and start it."""
        dispatch = Dispatch.request(
            dispatch_id(part.id, piece),
            organisation_id=self.story.organisation_id,
            job_id=str(job.id),
            part_id=str(part.id),
            piece=piece,
            work={"process": "fdm", "material": "PLA"},
        )
        number = build_id(dispatch.id, attempt)
        node, lot = str(self.node.id), str(self.lot.id)
        dispatch.choose(
            attempt=attempt,
            build_id=str(number),
            node_id=node,
            inventory_id=lot,
            decision={"policy": "score", "fleet_position": len(self.story.events)},
        )
        build = Build.plan(
            number,
            organisation_id=self.story.organisation_id,
            job_id=str(job.id),
            dispatch_id=str(dispatch.id),
            attempt=attempt,
            node_id=node,
            pieces=[{"part_id": str(part.id), "piece": piece}],
            program=ARTIFACT,
            material="PLA",
            duration_ms=60_000,
            material_mm3=80,
            material_mg=99,
        )
        if not self.node.bed_clear:
            self.node.clear_bed("anna")
        epoch = self.node.reserve(str(number))
        dispatch.reserve_node(attempt, epoch=epoch)
        self.lot.reserve(str(number), 99)
        dispatch.reserve_material(attempt, quantity_mg=99)
        build.reserve(epoch=epoch, inventory_id=lot)
        part.queue_piece(piece, build_id=str(number), node_id=node)
        build.send()
        dispatch.send(attempt)
        build.accept(node_id=node, epoch=epoch, bridge="local")
        self.story.tell(dispatch, build, self.node, self.lot)
        self.follow(job, part)
        build.start(epoch=epoch)
        dispatch.start(attempt)
        self.node.begin_execution(str(number))
        part.start_piece(piece, build_id=str(number))
        self.story.tell(build, dispatch, self.node)
        self.follow(job, part)
        return build, dispatch

    def end(self, job: Job, part: Part, piece: int, build: Build, dispatch: Dispatch) -> None:
        """Finish the build and pass the piece."""
        for percent in (25, 50, 75, 100):
            build.progress(percent)
        build.finish(FIGURES)
        self.node.end_execution(str(build.id), "finished")
        self.lot.consume(str(build.id), 99)
        dispatch.close("made")
        part.make_piece(piece, build_id=str(build.id))
        self.story.tell(build, self.node, self.lot, dispatch)
        self.follow(job, part)
        part.pass_piece(piece, by="user/anna")
        build.inspect(passed=True, by="user/anna")
        self.story.tell(build)
        self.follow(job, part)

    def make(self, *, quantity: int = 1, minutes: float = 1) -> Job:
        """One job from order to completion."""
        job, part = self.order(quantity=quantity)
        for piece in range(quantity):
            build, dispatch = self.begin(job, part, piece)
            self.story.later(minutes=minutes)
            self.end(job, part, piece, build, dispatch)
        return job


def busy_shop(jobs: int = 12, *, seed: int = 1) -> Story:
    """A shop of two organisations: jobs made, scrapped and cancelled, links lost and found."""
    chance = random.Random(seed)
    story = Story()
    shop = Shop.opened(story)
    shop.found()
    for number in range(jobs):
        story.later(minutes=chance.randint(1, 40))
        match number % 4:
            case 0 | 1:
                shop.make(quantity=chance.randint(1, 3), minutes=chance.randint(1, 90))
            case 2:
                _fail_once(shop)
            case _:
                _cancel(shop)
    elsewhere = replace_organisation(story)
    Shop.opened(elsewhere, name="Mill").make()
    story.now = elsewhere.now
    shop.make()
    return story


def replace_organisation(story: Story, name: str = "elsewhere") -> Story:
    """The same log, told by another organisation."""
    return replace(story, organisation_id=str(derived("organisation", name)))


def _fail_once(shop: Shop) -> None:
    job, part = shop.order()
    build, dispatch = shop.begin(job, part, 0)
    shop.story.later(minutes=3)
    build.fail("thermal", native_text="Error:Thermal\0 Runaway", figures=FIGURES)
    shop.node.end_execution(str(build.id), "failed")
    shop.node.disconnect("unplugged")
    shop.story.later(minutes=30)
    shop.node.connect({"firmware": "Marlin"})
    shop.lot.waste(str(build.id), 99, reason="thermal")
    dispatch.close("failed")
    part.scrap_piece(0, reason="thermal", by="service/processes")
    shop.story.tell(build, shop.node, shop.lot, dispatch)
    shop.follow(job, part)
    build, dispatch = shop.begin(job, part, 1)
    shop.story.later(minutes=3)
    shop.end(job, part, 1, build, dispatch)


def _cancel(shop: Shop) -> None:
    job, part = shop.order(quantity=3)
    job.cancel("changed my mind")
    part.cancel()
    shop.story.tell(job)
    shop.follow(job, part)
    assert job.status == JobStatus.CANCELLED
