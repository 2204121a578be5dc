"""Whatever is corrected, a lot's books are those that the corrected facts alone would have made."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain.inventory.aggregate import ACCOUNTS, Inventory
from domain.inventory.correcting import (
    correct_consumption,
    correct_count,
    reassign_consumption,
)
from domain.shared.errors import HistoryNegativeError, ImeweError
from projections.inventory.projector import BOOKINGS, LOTS, InventoryLedger
from projections.inventory.rows import BookingRow
from projections.rows import Rows
from tests.correcting import TimedStory

MG = st.integers(0, 60)
LOTS_OF_IT = st.sampled_from([0, 1, 2])
BUILDS = st.sampled_from([f"b{n}" for n in range(4)])


@dataclass
class Fact:
    """What a person would write into a paper ledger."""

    at: datetime
    what: str
    mg: int
    build: str = ""
    lenient: bool = True
    here: bool = True


@dataclass
class Ledger:
    """Facts in the order in which they count, and nothing else."""

    facts: list[Fact] = field(default_factory=list)

    def balances(self, upto: datetime | None = None) -> dict[str, int] | None:
        """The books, or nothing when the lot would have held less than nothing."""
        books = dict.fromkeys(ACCOUNTS, 0)
        held: dict[str, int] = {}
        for fact in self.facts:
            if upto is not None and fact.at > upto:
                break
            if not write_down(books, held, fact):
                return None
        return books


def write_down(books: dict[str, int], held: dict[str, int], fact: Fact) -> bool:
    if fact.what == "receive":
        books["supplier"] -= fact.mg
        books["free"] += fact.mg
    elif fact.what == "reserve":
        books["free"] -= fact.mg
        books["reserved"] += fact.mg
        held[fact.build] = fact.mg
    elif fact.what == "count":
        missing = fact.mg - books["free"] - books["reserved"]
        books["adjusted"] -= missing
        books["free"] += missing
    else:
        back = held.pop(fact.build, 0)
        books["reserved"] -= back
        books["free"] += back
        if fact.lenient and fact.mg > books["free"]:
            books["adjusted"] -= fact.mg - books["free"]
            books["free"] = fact.mg
        books["free"] -= fact.mg
        books[fact.what] += fact.mg
    return books["free"] >= 0


class Corrections(RuleBasedStateMachine):
    """Three lots of one material; bookings as they come, and corrections of what came before."""

    @initialize()
    def open(self) -> None:
        self.story = TimedStory()
        self.lots = [self.story.lot(f"L{n}", free_mg=40) for n in range(3)]
        self.ledgers = [Ledger([Fact(self.story.now, "receive", 40)]) for _ in range(3)]
        self.rows = Rows()
        self.bookings: list[BookingRow] = []
        self.folded = 0

    def told(self, deed: Any, *lots: Inventory) -> bool:
        self.story.later(seconds=1)
        before = [dict(lot.accounts) for lot in self.lots]
        try:
            self.story.act(deed, *lots)
        except ImeweError as refused:
            assert [lot.accounts for lot in self.lots] == before
            assert not any(lot.pending_events for lot in self.lots)
            self.refused = refused
            return False
        return True

    @rule(lot=LOTS_OF_IT, build=BUILDS, held=MG, used=MG, good=st.booleans())
    def build(self, lot: int, build: str, held: int, used: int, *, good: bool) -> None:
        aggregate, facts = self.lots[lot], self.ledgers[lot].facts
        if any(build in each.settled for each in self.lots):
            return
        if not self.told(lambda: aggregate.reserve(build, held), aggregate):
            return
        facts.append(Fact(self.story.now, "reserve", held, build))
        act = aggregate.consume if good else lambda b, mg: aggregate.waste(b, mg, reason="jam")
        assert self.told(lambda: act(build, used), aggregate)
        facts.append(Fact(self.story.now, "consumed" if good else "wasted", used, build))

    @rule(lot=LOTS_OF_IT, mg=st.integers(1, 60))
    def receive(self, lot: int, mg: int) -> None:
        assert self.told(lambda: self.lots[lot].receive(mg), self.lots[lot])
        self.ledgers[lot].facts.append(Fact(self.story.now, "receive", mg))

    @rule(lot=LOTS_OF_IT, mg=st.integers(0, 90))
    def count(self, lot: int, mg: int) -> None:
        before = len(self.story.events)
        obeyed = self.told(lambda: self.lots[lot].count(mg), self.lots[lot])
        if obeyed and len(self.story.events) > before:
            self.ledgers[lot].facts.append(Fact(self.story.now, "count", mg))

    @rule(lot=LOTS_OF_IT, number=st.integers(0, 5), mg=st.integers(0, 90))
    def correct_a_count(self, lot: int, number: int, mg: int) -> None:
        counts = [fact for fact in self.ledgers[lot].facts if fact.what == "count"]
        if not counts:
            return
        wrong = counts[number % len(counts)]
        aggregate, past = self.lots[lot], self.story.past(self.lots[lot])
        version = next(
            each.originator_version
            for each in past
            if isinstance(each, Inventory.Counted) and each.timestamp == wrong.at
        )
        self.changes(
            lot,
            wrong,
            mg,
            lambda: correct_count(aggregate, past, version=version, counted_mg=mg, reason="r"),
        )

    @rule(lot=LOTS_OF_IT, build=BUILDS, mg=MG)
    def correct_a_use(self, lot: int, build: str, mg: int) -> None:
        wrong = self.use(lot, build)
        aggregate, past = self.lots[lot], self.story.past(self.lots[lot])

        def deed() -> None:
            correct_consumption(aggregate, past, build, quantity_mg=mg, reason="r")

        if wrong is None:
            assert not self.told(deed, aggregate)
        else:
            self.changes(lot, wrong, mg, deed)

    @rule(giver=LOTS_OF_IT, taker=LOTS_OF_IT, build=BUILDS)
    def reassign(self, giver: int, taker: int, build: str) -> None:
        one, other = self.lots[giver], self.lots[taker]
        pasts = self.story.past(one), self.story.past(other)
        moved = self.use(giver, build)
        before = len(self.story.events)
        obeyed = self.told(
            lambda: reassign_consumption(
                one, pasts[0], other, pasts[1], build_id=build, reason="r", now=self.story.now
            ),
            one,
            other,
        )
        if moved is None or giver == taker:
            assert len(self.story.events) == before
            return
        given, taken = self.without_use(giver, moved), self.with_use(taker, moved)
        assert obeyed == (given.balances() is not None and taken.balances() is not None)
        if obeyed:
            self.ledgers[giver], self.ledgers[taker] = given, taken

    def use(self, lot: int, build: str) -> Fact | None:
        for fact in self.ledgers[lot].facts:
            if fact.build == build and fact.what in {"consumed", "wasted"} and fact.here:
                return fact
        return None

    def without_use(self, lot: int, moved: Fact) -> Ledger:
        """The facts of the lot from which the use goes; the reservation was there all the same."""
        return Ledger(
            [replace(f, mg=0, here=False) if f is moved else f for f in self.ledgers[lot].facts]
        )

    def with_use(self, lot: int, moved: Fact) -> Ledger:
        """Those of the lot to which it goes: where it stood once, else at its time."""
        facts = list(self.ledgers[lot].facts)
        for place, fact in enumerate(facts):
            if fact.build == moved.build and fact.what == moved.what:
                facts[place] = replace(fact, mg=moved.mg, here=True)
                return Ledger(facts)
        place = next((i for i, fact in enumerate(facts) if fact.at > moved.at), len(facts))
        facts.insert(place, replace(moved, lenient=False))
        return Ledger(facts)

    def changes(self, lot: int, wrong: Fact, mg: int, deed: Any) -> None:
        was, wrong.mg = wrong.mg, mg
        possible = self.ledgers[lot].balances() is not None
        assert self.told(deed, self.lots[lot]) == possible
        if not possible:
            assert isinstance(self.refused, HistoryNegativeError)
            wrong.mg = was

    @invariant()
    def the_books_are_those_of_the_corrected_facts(self) -> None:
        for lot, ledger in zip(self.lots, self.ledgers, strict=True):
            assert lot.accounts == ledger.balances()

    @invariant()
    def so_are_those_of_the_read_model_at_every_moment(self) -> None:
        for event in self.story.events[self.folded :]:
            InventoryLedger().fold(self.rows, event)
            self.rows.keep(event.position)
        self.folded = len(self.story.events)
        bookings = [row for of, found in self.rows.appended() if of is BOOKINGS for row in found]
        for lot, ledger in zip(self.lots, self.ledgers, strict=True):
            row = self.rows.get(LOTS, str(lot.id))
            assert {name: getattr(row, f"{name}_mg") for name in ACCOUNTS} == lot.accounts
            own = [each for each in bookings if each.lot_id == str(lot.id)]
            for moment in {fact.at for fact in ledger.facts}:
                assert at_moment(own, moment) == ledger.balances(upto=moment)


def at_moment(bookings: list[BookingRow], moment: datetime) -> dict[str, int]:
    return {
        name: sum(getattr(each, f"{name}_mg") for each in bookings if each.effective_from <= moment)
        for name in ACCOUNTS
    }


TestCorrections = Corrections.TestCase
TestCorrections.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
