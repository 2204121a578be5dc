"""The read side of the simulated shop: real projections that follow in stretches of any length,
crash between folding and committing, and begin again where they had committed."""

import random
from typing import Any

from domain.build.aggregate import Build
from domain.dispatch.aggregate import Dispatch
from domain.inventory.aggregate import Inventory
from domain.job.aggregate import Job
from domain.node.aggregate import Node
from domain.part.aggregate import Part
from domain.shared.recorded import RecordedEvent
from ops.replaying.memory import MemoryModel
from projections.catalogue import CATALOGUE
from projections.inventory.projector import LOTS
from projections.jobs.tables import BUILDS, DISPATCHES, JOBS, PARTS, PIECES
from projections.nodes.projector import NODES
from projections.projection import Projection
from projections.rows import Rows
from tests.simulation.shop import Log

LONGEST_STRETCH = 40


class CrashedError(Exception):
    """The process ended before its transaction did."""


class CrashingModel(MemoryModel):
    """A read model whose next commit can fail; nothing of that stretch is kept then."""

    def __init__(self, projection: Projection) -> None:
        super().__init__(projection)
        self.position = 0
        self.crashing = False

    def follow(self, events: list[RecordedEvent]) -> None:
        """Rows and position in one transaction. Raises ``CrashedError``."""
        self.fold(events)
        self.position = events[-1].position

    def _keep(self, rows: Rows) -> None:
        if self.crashing:
            self.crashing = False
            raise CrashedError
        super()._keep(rows)


class Readers:
    """All projections over one log, each as far as it has come."""

    def __init__(self, log: Log, chance: random.Random) -> None:
        self._log = log
        self._chance = chance
        self.models = {each.name: CrashingModel(each) for each in CATALOGUE}

    def read(self) -> None:
        """One projection takes a stretch, or fails to."""
        model = self._chance.choice(list(self.models.values()))
        size = self._chance.randint(1, LONGEST_STRETCH)
        events = self._log.events[model.position : model.position + size]
        if events:
            model.crashing = self._chance.random() < 0.2
            try:
                model.follow(events)
            except CrashedError:
                assert model.position < events[-1].position

    def catch_up(self) -> None:
        """All of them, to the end of the log."""
        for model in self.models.values():
            while events := self._log.events[model.position : model.position + 500]:
                model.crashing = False
                model.follow(events)

    def rows(self, name: str, table: Any) -> dict[Any, Any]:
        """The rows of a table by key."""
        return self.models[name].tables[table].rows


def check_readers(seed: int, log: Log, readers: Readers) -> None:
    """What was read in stretches and through crashes is what one fold reads, and what is so."""
    readers.catch_up()
    for name, model in readers.models.items():
        assert not model.parked, (seed, name, model.parked)
        whole = MemoryModel(model.projection)
        whole.fold(log.events)
        for table in model.tables:
            assert model.tables[table].rows == whole.tables[table].rows, (seed, name, table.name)
    _agrees(seed, log.all(Job), readers.rows("jobs", JOBS), "status")
    _agrees(seed, log.all(Part), readers.rows("jobs", PARTS), "status")
    _agrees(seed, log.all(Build), readers.rows("jobs", BUILDS), "status")
    _agrees(seed, log.all(Dispatch), readers.rows("jobs", DISPATCHES), "status")
    _agrees(seed, log.all(Node), readers.rows("nodes", NODES), "status")
    for lot in log.all(Inventory):
        row = readers.rows("inventory", LOTS)[str(lot.id),]
        assert row.free_mg == lot.accounts["free"], (seed, "a lot's books", row)
    pieces = readers.rows("jobs", PIECES)
    for part in log.all(Part):
        for number, status in enumerate(part.pieces):
            assert pieces[str(part.id), number].status == status, (seed, "a piece", number)


def _agrees(seed: int, aggregates: list[Any], rows: dict[Any, Any], name: str) -> None:
    assert len(aggregates) == len(rows), (seed, "a row too many or too few")
    for aggregate in aggregates:
        shown = getattr(rows[str(aggregate.id),], name)
        assert shown == getattr(aggregate, name), (seed, str(aggregate.id), shown)
