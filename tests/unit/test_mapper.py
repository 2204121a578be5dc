"""Events and snapshots to plain JSON and back, with the types they promise."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from eventsourcing.domain import event
from eventsourcing.persistence import (
    JSONTranscoder,
    MapperDeserialisationError,
    ProgrammingError,
    StoredEvent,
)

from domain.shared.aggregate import AggregateSnapshot, Created, ImeweAggregate
from domain.shared.errors import InvalidInputError
from ops.eventstore.envelope import Record
from ops.eventstore.mapper import ImeweMapper, aggregate_topic, event_of
from ops.eventstore.snapshot_state import packed, unpacked
from schema.registry import UPCASTERS

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))


class Colour(StrEnum):
    RED = "RED"
    BLUE = "BLUE"


@dataclass(frozen=True)
class Line:
    material: str
    price: Decimal


class PaintPot(ImeweAggregate):
    TOPIC = "imewe.paint_pot:PaintPot"

    class Opened(Created):
        TOPIC = "imewe.paint_pot:Opened"
        colour: Colour
        owner: UUID
        price: Decimal
        due: datetime | None
        lines: list[Line]
        notes: dict[str, str]

    class Stirred(ImeweAggregate.Event):
        TOPIC = "imewe.paint_pot:Stirred"
        class_version = 3
        turns: int
        by: str

    @event(Opened)
    def __init__(
        self,
        colour: Colour,
        owner: UUID,
        price: Decimal,
        due: datetime | None,
        lines: list[Line],
        notes: dict[str, str],
    ) -> None:
        self.colour = colour
        self.owner = owner
        self.price = price
        self.due = due
        self.lines = lines
        self.notes = notes
        self.turns = 0

    @event(Stirred)
    def stir(self, turns: int, by: str) -> None:
        self.turns += turns


@UPCASTERS.step("imewe.paint_pot:Stirred", from_version=1)
def _rounds_are_turns(body: dict[str, Any]) -> dict[str, Any]:
    return {"turns": body["rounds"]}


@UPCASTERS.step("imewe.paint_pot:Stirred", from_version=2)
def _nobody_said_who(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "by": "unknown"}


@pytest.fixture
def mapper() -> ImeweMapper:
    return ImeweMapper(JSONTranscoder())


@pytest.fixture
def pot() -> PaintPot:
    return PaintPot._create(
        PaintPot.Opened,
        id=uuid4(),
        timestamp=NOON,
        colour=Colour.RED,
        owner=UUID(int=7),
        price=Decimal("2.50"),
        due=NOON,
        lines=[Line("PLA", Decimal("0.10"))],
        notes={"a": "b"},
    )


def as_read(stored: StoredEvent, **headers: str) -> Record:
    return Record(
        sequence=1,
        subject=f"imewe.events.paint_pot.{stored.originator_id}",
        headers={
            "Imewe-Version": str(stored.originator_version),
            "Imewe-Topic": stored.topic,
            "Imewe-Recorded": "2026-11-21T11:00:05.000Z",
            **headers,
        },
        body=stored.state,
    )


def test_the_body_holds_the_events_own_fields_and_nothing_else(
    mapper: ImeweMapper, pot: PaintPot
) -> None:
    (opened,) = pot.collect_events()
    assert orjson.loads(mapper.to_stored_event(opened).state) == {
        "colour": "RED",
        "owner": "00000000-0000-0000-0000-000000000007",
        "price": "2.50",
        "due": "2026-11-21T11:00:00.123Z",
        "lines": [{"material": "PLA", "price": "0.10"}],
        "notes": {"a": "b"},
    }


def test_a_replay_folds_the_values_that_the_first_fold_saw(
    mapper: ImeweMapper, pot: PaintPot
) -> None:
    (opened,) = pot.collect_events()
    again = mapper.to_domain_event(mapper.to_stored_event(opened))
    replayed = again.mutate(None)  # type: ignore[attr-defined]
    told = {k: v for k, v in vars(pot).items() if k != "due"}
    assert {k: v for k, v in vars(replayed).items() if k != "due"} == told
    assert replayed.due == NOON.replace(microsecond=123000)
    assert replayed.colour is Colour.RED
    assert type(replayed) is PaintPot


def test_the_time_of_an_event_is_the_envelopes(mapper: ImeweMapper, pot: PaintPot) -> None:
    (opened,) = pot.collect_events()
    stored = mapper.to_stored_event(opened)
    assert event_of(as_read(stored)).timestamp == datetime(2026, 11, 21, 11, 0, 5, tzinfo=UTC)
    told = event_of(as_read(stored, **{"Imewe-Occurred": "2026-11-21T11:00:00.123Z"}))
    assert told.timestamp == NOON.replace(microsecond=123000)


def test_the_aggregate_remembers_the_command_of_the_envelope(
    mapper: ImeweMapper, pot: PaintPot
) -> None:
    (opened,) = pot.collect_events()
    stored = mapper.to_stored_event(opened)
    pot_again = event_of(as_read(stored, **{"Imewe-Command": "open it"})).mutate(None)
    assert pot_again.commands == {"open it": 1}
    assert event_of(as_read(stored)).mutate(None).commands == {}


def test_an_old_event_is_upcast_step_by_step() -> None:
    stored = StoredEvent(uuid4(), 2, "imewe.paint_pot:Stirred", b'{"rounds":4}')
    old = event_of(as_read(stored, **{"Imewe-Schema": "1"}))
    assert (old.turns, old.by) == (4, "unknown")
    newer = StoredEvent(uuid4(), 2, "imewe.paint_pot:Stirred", b'{"turns":4}')
    assert event_of(as_read(newer, **{"Imewe-Schema": "2"})).by == "unknown"


def test_the_version_of_the_schema_is_told_to_the_recorder(
    mapper: ImeweMapper, pot: PaintPot
) -> None:
    pot.stir(turns=2, by="anna")
    opened, stirred = map(mapper.to_stored_event, pot.collect_events())
    assert (opened.schema_version, stirred.schema_version) == (1, 3)  # type: ignore[attr-defined]


def test_a_snapshot_gives_back_every_type(mapper: ImeweMapper, pot: PaintPot) -> None:
    pot.remember("c", 1)
    pot.collect_events()
    snapshot = AggregateSnapshot.take(pot)
    again = mapper.to_domain_event(mapper.to_stored_event(snapshot))
    assert vars(again.mutate(None)) == vars(pot)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "value",
    [
        (1, "a", None, True, 1.5),
        {1: Colour.BLUE, "b": [Line("PLA", Decimal("1.0"))]},
        {"_is_": "a trap"},
        {frozenset({1, 2}), frozenset()},
        [{"deep": (NOON, UUID(int=1), {"x": {1, 2}})}],
    ],
)
def test_what_an_aggregate_may_hold_survives_a_snapshot(value: Any) -> None:
    assert unpacked(orjson.loads(orjson.dumps(packed(value)))) == value


def test_what_json_does_not_know_is_refused() -> None:
    with pytest.raises(TypeError):
        packed(object())
    with pytest.raises(InvalidInputError):
        ImeweMapper(JSONTranscoder()).to_stored_event(
            PaintPot.Opened(
                originator_id=uuid4(),
                originator_version=1,
                timestamp=NOON,
                originator_topic="imewe.paint_pot:PaintPot",
                colour=Colour.RED,
                owner=UUID(int=1),
                price=Decimal(1),
                due=datetime(2026, 1, 1),  # noqa: DTZ001 - that is the point
                lines=[],
                notes={},
            )
        )


def test_an_unreadable_record_says_which() -> None:
    stored = StoredEvent(uuid4(), 1, "imewe.paint_pot:Opened", b"no json")
    with pytest.raises(MapperDeserialisationError, match="sequence 1"):
        event_of(as_read(stored))


def test_a_cipher_or_an_event_from_elsewhere_is_refused(mapper: ImeweMapper) -> None:
    with pytest.raises(ProgrammingError):
        ImeweMapper(JSONTranscoder(), compressor=object())  # type: ignore[arg-type]
    with pytest.raises(ProgrammingError):
        mapper.to_domain_event(StoredEvent(uuid4(), 1, "imewe.paint_pot:Stirred", b"{}"))


def test_an_events_aggregate_follows_from_its_topic() -> None:
    assert aggregate_topic("imewe.job:Submitted") == "imewe.job:Job"
    assert aggregate_topic("imewe.paint_pot:Opened") == "imewe.paint_pot:PaintPot"
