"""Closed months, their reports, and the events behind figures."""

from collections.abc import Mapping
from typing import Annotated, Self

import strawberry

from domain.period.aggregate import PeriodStatus
from gateways.graphql.context import Info
from gateways.graphql.fields import described, resolved
from gateways.graphql.pages import Connection, page_size, place
from gateways.graphql.scalars import Instant, Int53, Position
from gateways.graphql.types.history import Kpi
from projections.kpis import periods
from projections.kpis.movements import LotChange as LotChangeRow
from projections.kpis.periods import Adjustment as AdjustmentRow
from projections.kpis.rows import ContributionRow, PeriodRow

strawberry.enum(PeriodStatus, description="A month is open until an admin closes it.")

First = Annotated[int, strawberry.argument(description="How many, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on behind.")]


@strawberry.type(description="A figure or an account, and by how much it is different.")
class Amount:
    name: str = described("For example energy_j or free; the unit is that of the figure, else mg.")
    amount: Int53 = described("How much.")


def amounts_of(found: Mapping[str, int]) -> list[Amount]:
    """In the order in which they are kept."""
    return [Amount(name=name, amount=Int53(amount)) for name, amount in found.items()]


@strawberry.type(description="What one event added to the figures of an interval.")
class KpiSource:
    position: Position = described("Its place in the log.")
    event_id: strawberry.ID = described("The event; explain tells why.")
    what: str = described("Its name, for example Build.Finished.")
    occurred_at: Instant = described("When it happened.")
    hour: Instant = described("The first hour in which it counts; earlier for a correction.")
    amounts: list[Amount] = described("What it added, over all hours asked for.")

    @classmethod
    def of(cls, row: ContributionRow) -> Self:
        """From committed rows."""
        return cls(
            position=Position(row.position),
            event_id=strawberry.ID(row.event_id),
            what=row.what,
            occurred_at=Instant(row.at),
            hour=Instant(row.hour),
            amounts=amounts_of(row.amounts),
        )


@strawberry.type(description="What moved in a lot.")
class LotChange:
    inventory_id: strawberry.ID = described("The lot.")
    amounts: list[Amount] = described("By account, mg.")

    @classmethod
    def of(cls, row: LotChangeRow) -> Self:
        """From summed rows."""
        return cls(inventory_id=strawberry.ID(row.lot_id), amounts=amounts_of(row.amounts))


@strawberry.type(
    description="An event recorded after a month's cut-off that counts inside the month."
)
class Adjustment:
    position: Position = described("Its place in the log.")
    event_id: strawberry.ID = described("The event.")
    what: str = described("Its name, for example Build.FiguresCorrected.")
    occurred_at: Instant = described("When it was decided.")
    booked_in: str | None = described("The month in whose report it stands; null while it is open.")
    figures: list[Amount] = described("What it changes in the month's figures.")
    lots: list[LotChange] = described("What it changes in the month's material.")

    @classmethod
    def of(cls, row: AdjustmentRow) -> Self:
        """From summed rows."""
        return cls(
            position=Position(row.position),
            event_id=strawberry.ID(row.event_id),
            what=row.what,
            occurred_at=Instant(row.at),
            booked_in=row.booked_in or None,
            figures=amounts_of(row.figures),
            lots=[LotChange.of(each) for each in row.lots],
        )


@strawberry.type(
    description="A month as it was reported. The same question gives the same bytes for ever."
)
class PeriodReport:
    text: str = described("Canonical JSON: figures, lots, and what adjusts months before it.")
    digest: str = described("sha256: and the hash of the text's bytes, computed now.")
    reproduced: bool = described("The digest is the one that the closing event holds.")
    figures: Kpi = described("The figures in it.")


@strawberry.type(description="A calendar month (UTC) of one organisation.")
class AccountingPeriod:
    id: strawberry.ID = described("Its id, before it is closed too.")
    month: str = described("For example 2026-10.")
    since: Instant = described("Its begin.")
    until: Instant = described("Its end.")
    status: PeriodStatus = described("OPEN, CUT_OFF (its report is fixed, not signed) or CLOSED.")
    cut_off: Position | None = described("Up to which place of the log its report counts.")
    report_digest: str | None = described("As the closing event holds it.")
    closed_at: Instant | None = described("When it was closed.")
    closed_by: str | None = described("Who closed it: kind/id.")
    row: strawberry.Private[PeriodRow]

    @classmethod
    def of(cls, row: PeriodRow) -> Self:
        """From a committed row, or for a month that is open."""
        return cls(
            id=strawberry.ID(row.id),
            month=row.month,
            since=Instant(row.since),
            until=Instant(row.until),
            status=PeriodStatus(row.status),
            cut_off=Position(row.cut_position) if row.cut_position else None,
            report_digest=row.digest or None,
            closed_at=Instant(row.closed_at) if row.closed_at else None,
            closed_by=row.closed_by or None,
            row=row,
        )

    @resolved("What was reported of it; null while it is open.")
    async def report(self, info: Info) -> PeriodReport | None:
        if not self.row.cut_position:
            return None
        then = info.context.when_of(info)
        async with info.context.reads.use(periods.READS, as_of=then) as connection:
            found = await periods.report(connection, self.row)
        return PeriodReport(
            text=found.text,
            digest=found.digest,
            reproduced=found.digest == self.row.digest,
            figures=Kpi.of(periods.reported(self.row, found)),
        )

    @resolved("Its figures as they are known at the moment that is shown, corrections included.")
    async def restated(self, info: Info) -> Kpi:
        then = info.context.when_of(info)
        async with info.context.reads.use(periods.READS, as_of=then) as connection:
            return Kpi.of(await periods.restated(connection, self.row))

    @resolved("What was learned after its cut-off: report + adjustments = restated.")
    async def adjustments(
        self, info: Info, first: First = 50, after: After = None
    ) -> Connection[Adjustment]:
        size, begin, then = page_size(first), place(after), info.context.when_of(info)
        async with info.context.reads.use(periods.READS, as_of=then) as connection:
            page = await periods.adjustments(connection, self.row, first=size, after=begin)
        found = [(row.position, Adjustment.of(row)) for row in page.items]
        return Connection.of(found, has_more=page.has_more, started=after is not None)
