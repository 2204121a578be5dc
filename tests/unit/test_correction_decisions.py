"""Corrections one by one: what they record, what they refuse, and with which words."""

from datetime import timedelta
from typing import Any

import pytest

from domain.build.aggregate import Build, RunFigures
from domain.inventory.aggregate import Inventory
from domain.inventory.correcting import correct_consumption, correct_count, reassign_consumption
from domain.node.aggregate import Node
from domain.node.downtime import correct_downtime, withdraw_downtime
from domain.shared.errors import (
    HistoryNegativeError,
    IllegalTransitionError,
    ImeweError,
    InvalidInputError,
    NotFoundError,
    OverlapError,
)
from domain.shared.identifiers import derived
from domain.shared.moments import told
from projections.kpis import links
from projections.kpis.projector import CONTRIBUTIONS, SUBJECTS, Kpis
from projections.kpis.shares import Shares
from tests.correcting import TimedStory, folded
from tests.stories import ARTIFACT, BEGIN

MINUTE = timedelta(minutes=1)


class Stockroom(TimedStory):
    """A lot of 1000 mg from which a build took 300; it was counted before and after."""

    def stocked(self) -> Inventory:
        lot = self.lot("A", free_mg=1000)
        self.later(minutes=1)
        self.act(lambda: lot.count(990), lot)
        self.later(minutes=1)
        self.use(lot, "b1", 300)
        return lot

    def use(self, lot: Inventory, build: str, mg: int) -> None:
        self.act(lambda: lot.reserve(build, mg), lot)
        self.later(minutes=1)
        self.act(lambda: lot.consume(build, mg), lot)
        self.later(minutes=1)

    def reassign(self, one: Inventory, other: Inventory, build: str = "b1") -> None:
        self.act(
            lambda: reassign_consumption(
                one,
                self.past(one),
                other,
                self.past(other),
                build_id=build,
                reason="wrong spool",
                now=self.now,
            ),
            one,
            other,
        )

    def recount(self, lot: Inventory, version: int, mg: int) -> None:
        self.act(
            lambda: correct_count(
                lot, self.past(lot), version=version, counted_mg=mg, reason="tare forgotten"
            ),
            lot,
        )


def body(story: TimedStory, number: int = -1) -> dict[str, Any]:
    event = story.events[number].event
    return {k: v for k, v in vars(event).items() if not k.startswith(("originator", "timestamp"))}


def test_a_use_moves_to_the_lot_it_came_from_at_its_own_moment_in_both_ledgers() -> None:
    story = Stockroom()
    lot, other = story.stocked(), story.lot("B")
    story.act(lambda: other.receive(500), other)
    with pytest.raises(InvalidInputError, match="before this began to exist"):
        story.reassign(lot, other)
    before = Stockroom()
    other, lot = before.lot("B", free_mg=500), before.stocked()
    before.reassign(lot, other)
    used_at = told(BEGIN + 3 * MINUTE)
    assert body(before, -2) == {
        "build_id": "b1",
        "quantity_mg": 300,
        "to_inventory_id": str(other.id),
        "effective_from": used_at,
        "reason": "wrong spool",
        "bookings": [{"at": used_at, "free": 300, "consumed": -300}],
    }
    assert body(before)["bookings"] == [{"at": used_at, "free": -300, "consumed": 300}]
    assert (lot.accounts["consumed"], other.accounts["consumed"]) == (0, 300)
    assert (lot.accounts["free"], other.accounts["free"]) == (990, 200)


def test_the_same_reassignment_again_is_no_news_and_it_can_be_taken_back() -> None:
    story = Stockroom()
    other, lot = story.lot("B", free_mg=500), story.stocked()
    books = dict(lot.accounts), dict(other.accounts)
    story.reassign(lot, other)
    events = len(story.events)
    story.reassign(lot, other)
    assert len(story.events) == events
    story.reassign(other, lot)
    assert (lot.accounts, other.accounts) == books


def test_a_lot_that_did_not_have_it_then_is_refused_by_the_moment_and_nothing_is_recorded() -> None:
    story = Stockroom()
    other, lot = story.lot("B", free_mg=299), story.stocked()
    story.act(lambda: other.receive(5000), other)
    with pytest.raises(HistoryNegativeError, match=r"2026-11-21T10:03:00\.000Z.* lack 1 mg"):
        story.reassign(lot, other)
    assert not lot.pending_events
    assert not other.pending_events


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        ({"build": "b9"}, NotFoundError, "build_id"),
        ({"material": "PETG"}, InvalidInputError, "to_inventory_id"),
        ({"same": True}, InvalidInputError, "to_inventory_id"),
        ({"shared": True}, OverlapError, "to_inventory_id"),
    ],
)
def test_a_reassignment_that_makes_no_sense_is_refused(
    change: dict[str, Any], error: type[ImeweError], field: str
) -> None:
    story = Stockroom()
    other = story.lot("B", material=change.get("material", "PLA"), free_mg=1000)
    lot = story.stocked()
    if change.get("shared"):
        story.use(other, "b1", 5)
    with pytest.raises(error) as refused:
        story.reassign(lot, lot if change.get("same") else other, change.get("build", "b1"))
    assert refused.value.field == field
    assert not lot.pending_events


def test_a_wrong_count_is_corrected_and_the_free_quantity_follows() -> None:
    story = Stockroom()
    lot = story.stocked()
    story.recount(lot, 3, 890)
    assert body(story)["bookings"] == [
        {"at": told(BEGIN + MINUTE), "free": -100, "adjusted": 100},
    ]
    assert lot.accounts["free"] == 590
    story.recount(lot, 3, 890)
    assert len(story.past(lot)) == 6
    story.recount(lot, 3, 990)
    assert lot.accounts["free"] == 690


def test_a_later_count_found_what_it_found_whatever_is_corrected_before_it() -> None:
    story = Stockroom()
    lot = story.stocked()
    story.act(lambda: lot.count(650), lot)
    counted_at = told(story.now)
    story.recount(lot, 3, 890)
    assert lot.accounts["free"] == 650
    assert body(story)["bookings"][1] == {"at": counted_at, "free": 100, "adjusted": -100}


def test_a_count_that_leaves_less_than_nothing_later_names_the_moment() -> None:
    story = Stockroom()
    lot = story.stocked()
    with pytest.raises(HistoryNegativeError, match=r"2026-11-21T10:02:00\.000Z.* lack 1 mg"):
        story.recount(lot, 3, 299)


@pytest.mark.parametrize("version", [0, 2, 99])
def test_what_is_no_count_cannot_be_corrected_as_one(version: int) -> None:
    story = Stockroom()
    lot = story.stocked()
    with pytest.raises(NotFoundError) as refused:
        story.recount(lot, version, 5)
    assert refused.value.field == "position"


def test_a_correction_without_a_reason_is_refused() -> None:
    story = Stockroom()
    lot = story.stocked()
    with pytest.raises(InvalidInputError) as refused:
        correct_consumption(lot, story.past(lot), "b1", quantity_mg=1, reason=" ")
    assert refused.value.field == "reason"


def test_what_was_used_beyond_the_stock_is_adjusted_until_a_count_says_better() -> None:
    story = Stockroom()
    lot = story.lot("A", free_mg=100)
    story.later(minutes=1)
    story.act(lambda: lot.count(90), lot)
    story.act(lambda: lot.reserve("b1", 90), lot)
    story.act(lambda: lot.consume("b1", 120), lot)
    assert (lot.accounts["free"], lot.accounts["adjusted"]) == (0, -20)
    story.recount(lot, 3, 130)
    assert (lot.accounts["free"], lot.accounts["adjusted"]) == (10, -30)


def a_node(story: TimedStory) -> Node:
    node = story.node()
    story.later(hours=5)
    return node


def at(hours: float) -> str:
    return told(BEGIN + timedelta(hours=hours))


def test_a_downtime_is_recorded_once_and_taken_back() -> None:
    story = TimedStory()
    node = a_node(story)
    for _ in range(2):
        story.act(
            lambda: correct_downtime(
                node, story.past(node), since=at(2), until=at(3), reason="belt", now=story.now
            ),
            node,
        )
    assert [type(each).__name__ for each in story.past(node)] == ["Registered", "DowntimeRecorded"]
    story.act(lambda: withdraw_downtime(node, since=at(2), reason="other machine"), node)
    assert node.downtimes == []
    assert body(story)["effective_until"] == at(3)
    story.act(
        lambda: correct_downtime(
            node, story.past(node), since=at(2), until=at(4), reason="belt", now=story.now
        ),
        node,
    )


@pytest.mark.parametrize(
    ("span", "error", "field"),
    [
        ((-1, 1), InvalidInputError, "since"),
        ((1, 6), InvalidInputError, "until"),
        ((3, 3), InvalidInputError, "since"),
        ((4, 3), InvalidInputError, "since"),
        ((2.5, 3.5), OverlapError, "since"),
        ((1, 4), OverlapError, "since"),
    ],
)
def test_a_downtime_lies_in_the_machines_past_and_overlaps_none(
    span: tuple[float, float], error: type[ImeweError], field: str
) -> None:
    story = TimedStory()
    node = a_node(story)
    story.act(
        lambda: correct_downtime(
            node, story.past(node), since=at(2), until=at(3), reason="belt", now=story.now
        ),
        node,
    )
    with pytest.raises(error) as refused:
        correct_downtime(
            node, story.past(node), since=at(span[0]), until=at(span[1]), reason="r", now=story.now
        )
    assert refused.value.field == field
    assert not node.pending_events


@pytest.mark.parametrize("text", ["yesterday", "2026-11-21T10:00:00", ""])
def test_a_moment_without_a_zone_is_refused(text: str) -> None:
    story = TimedStory()
    node = a_node(story)
    with pytest.raises(InvalidInputError, match="with a zone"):
        correct_downtime(node, story.past(node), since=text, until=at(1), reason="r", now=story.now)


def test_a_downtime_nobody_recorded_cannot_be_taken_back() -> None:
    story = TimedStory()
    with pytest.raises(NotFoundError, match="begins at"):
        withdraw_downtime(a_node(story), since=at(1), reason="r")


def a_build(story: TimedStory) -> Build:
    build: Build = story.act(
        lambda: Build.plan(
            derived("a build"),
            organisation_id=story.organisation_id,
            job_id="j",
            dispatch_id="d",
            attempt=1,
            node_id="n",
            pieces=[{"part_id": "p", "piece": 0}],
            program=ARTIFACT,
            material="PLA",
            duration_ms=1,
            material_mm3=1,
            material_mg=1,
        )
    )
    story.tell(build)
    return build


def test_a_reading_is_corrected_against_the_last_one_that_counted() -> None:
    story = TimedStory()
    build = a_build(story)
    figures = RunFigures(
        duration_ms=1, energy_j=900, energy_source="meter", material_mm3=1, material_mg=50
    )
    story.act(lambda: build.fail("jam", native_text="", figures=figures), build)
    ended = told(story.now)
    story.later(hours=30)
    for energy in (700, 700, 750):
        story.act(
            lambda energy=energy: build.correct_figures(
                story.past(build), energy_j=energy, material_mg=None, reason="the meter lied"
            ),
            build,
        )
    assert len(story.past(build)) == 4
    assert body(story) == {
        "energy_j": 750,
        "energy_difference_j": 50,
        "material_mg": 50,
        "material_difference_mg": 0,
        "effective_from": ended,
        "reason": "the meter lied",
    }


def test_a_build_that_goes_on_has_no_figures_to_correct() -> None:
    story = TimedStory()
    build = a_build(story)
    with pytest.raises(IllegalTransitionError, match="has not ended"):
        build.correct_figures(story.past(build), energy_j=1, material_mg=None, reason="r")


def test_a_downtime_of_a_closed_month_takes_its_time_from_what_goes_on_since() -> None:
    story = TimedStory()
    node = story.node()
    story.act(lambda: node.connect({"f": 1}), node)
    row = folded(Kpis(), story).having(SUBJECTS, id=str(node.id))[0]
    shares = Shares()
    booked = links.accrue(shares, row, BEGIN + timedelta(hours=4), [])
    links.shift(
        shares,
        booked,
        (BEGIN + timedelta(hours=3), BEGIN + timedelta(hours=9)),
        intervals=[],
        sign=-1,
    )
    hour = 3_600_000
    assert sum(each.get("connected_ms", 0) for each in shares.hours.values()) == 3 * hour
    assert sum(each["known_ms"] for each in shares.hours.values()) == 4 * hour


def test_what_began_before_a_booked_end_is_booked_up_to_it_when_it_is_learned_late() -> None:
    story = TimedStory()
    node = story.node()
    row = folded(Kpis(), story).having(SUBJECTS, id=str(node.id))[0]
    booked = links.accrue(Shares(), row, BEGIN + timedelta(hours=4), [])
    shares = Shares()
    late = links.begin(shares, booked, links.CONNECTED, BEGIN + timedelta(hours=3), [])
    assert list(shares.taken()) == [(BEGIN + timedelta(hours=3), {"connected_ms": 3_600_000})]
    links.end(shares, late, links.CONNECTED, BEGIN + timedelta(hours=3.5), [])
    assert list(shares.taken()) == [(BEGIN + timedelta(hours=3), {"connected_ms": 1_800_000})]


def test_every_contribution_names_its_event() -> None:
    story = TimedStory()
    node = story.node()
    story.act(lambda: node.connect({"f": 1}), node)
    story.later(hours=2)
    story.act(lambda: node.disconnect("x"), node)
    rows = [
        row
        for of, found in folded(Kpis(), story).appended()
        if of is CONTRIBUTIONS
        for row in found
    ]
    assert [(row.what, row.position, row.event_id) for row in rows] == [
        ("Node.MachineDisconnected", 3, story.events[2].event_id)
    ] * 2
