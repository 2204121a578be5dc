"""One statement for a whole list: what fields of many objects ask for is read together."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from strawberry.dataloader import DataLoader

from domain.shared.checks import within
from domain.shared.scope import Scope
from gateways.graphql.reads import Reads
from projections.inventory import queries as inventory
from projections.inventory.rows import EntryRow, LotRow
from projections.jobs import queries as jobs
from projections.jobs.rows import (
    BuildRow,
    DecisionRow,
    DispatchRow,
    PartRow,
    PieceRow,
    TimelineRow,
)
from projections.querying import PAGE_LIMIT, Connection, Cursor
from projections.reading import When

R = TypeVar("R")
Query = Callable[[Connection, Scope, Sequence[str]], Awaitable[dict[str, list[R]]]]
Person = Mapping[str, str | None]
"""``mail`` and ``name``, ``None`` where it was erased or must not be read."""
Reveal = Callable[[list[str]], Awaitable[Mapping[str, Person]]]
NOT_TOLD: Person = {"mail": None, "name": None}
TIMELINE_LIMIT = 5000
Slice = tuple[str, int]
"""An object's id and how many rows are wanted."""


class Loaders:
    """The loaders of one request and one moment; each remembers what it has read.

    Names and mails of people are those of the present, whatever the moment.
    """

    def __init__(
        self,
        reads: Reads,
        scope: Callable[[], Scope],
        *,
        reveal: Reveal,
        as_of: When | None = None,
    ) -> None:
        self._reads = reads
        self._as_of = as_of
        self._scope = scope
        self._reveal = reveal
        self.person_of_account: DataLoader[str, Person] = DataLoader(self._people)
        self.parts_of_job: DataLoader[str, list[PartRow]] = self._by_id(
            jobs.READS, jobs.parts_of_jobs
        )
        self.builds_of_job: DataLoader[str, list[BuildRow]] = self._by_id(
            jobs.READS, jobs.builds_of_jobs
        )
        self.dispatches_of_job: DataLoader[str, list[DispatchRow]] = self._by_id(
            jobs.READS, jobs.dispatches_of_jobs
        )
        self.decisions_of_job: DataLoader[str, list[DecisionRow]] = self._by_id(
            jobs.READS, jobs.decisions_of_jobs
        )
        self.pieces_of_part: DataLoader[str, list[PieceRow]] = self._by_id(
            jobs.READS, jobs.pieces_of_parts
        )
        self.lots_of_node: DataLoader[str, list[LotRow]] = self._by_id(
            inventory.READS, inventory.lots_of_nodes
        )
        self.timeline_of_job: DataLoader[Slice, list[TimelineRow]] = DataLoader(self._timelines)
        self.entries_of_lot: DataLoader[Slice, list[EntryRow]] = DataLoader(self._entries)

    def _by_id(self, names: Sequence[str], query: Query[R]) -> DataLoader[str, list[R]]:
        async def load(ids: list[str]) -> list[list[R]]:
            async with self._reads.use(names, as_of=self._as_of) as connection:
                found = await query(connection, self._scope(), ids)
            return [found[each] for each in ids]

        return DataLoader(load)

    async def _people(self, ids: list[str]) -> list[Person]:
        found = await self._reveal(ids)
        return [found.get(each, NOT_TOLD) for each in ids]

    async def _timelines(self, wanted: list[Slice]) -> list[list[TimelineRow]]:
        async with self._reads.use(jobs.READS, as_of=self._as_of) as connection:
            return [await self._timeline(connection, *each) for each in wanted]

    async def _timeline(self, connection: Connection, job_id: str, first: int) -> list[TimelineRow]:
        rows: list[TimelineRow] = []
        within("first", first, 1, TIMELINE_LIMIT)
        after, more = None, True
        while more and len(rows) < first:
            size = min(first - len(rows), PAGE_LIMIT)
            page = await jobs.timeline(connection, self._scope(), job_id, first=size, after=after)
            rows += page.items
            more = page.has_more
            after = Cursor(rows[-1].position) if rows else None
        return rows

    async def _entries(self, wanted: list[Slice]) -> list[list[EntryRow]]:
        async with self._reads.use(inventory.READS, as_of=self._as_of) as connection:
            return [
                (await inventory.entries(connection, self._scope(), lot_id, first=first)).items
                for lot_id, first in wanted
            ]
