"""Corrections of what was recorded, and closing months."""

from datetime import timedelta
from typing import Annotated

import strawberry

from domain.period.aggregate import PeriodStatus
from domain.shared.errors import ImeweError
from gateways.graphql.commanding import command
from gateways.graphql.context import Info
from gateways.graphql.fields import resolved
from gateways.graphql.pages import Connection, page_size, place
from gateways.graphql.past import AsOf
from gateways.graphql.payloads import InventoryPayload, NodePayload, Payload
from gateways.graphql.problems import problem_of
from gateways.graphql.scalars import Instant, Int53, Position
from gateways.graphql.types.inventory import Lot
from gateways.graphql.types.periods import AccountingPeriod, KpiSource
from projections.inventory import queries as inventory
from projections.kpis import periods
from projections.kpis import queries as figures
from projections.kpis.periods import Report
from projections.kpis.rows import PeriodRow

AtLeast = Annotated[
    Position | None,
    strawberry.argument(description="Wait until this position can be seen: read your own write."),
]
First = Annotated[int, strawberry.argument(description="How many, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on behind.")]
CommandId = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="Your own name for this command; makes a retry safe."),
]
Reason = Annotated[str, strawberry.argument(description="Why; 1 to 200 printable characters.")]


@strawberry.type(description="About a build.")
class BuildPayload(Payload):
    build_id: strawberry.ID | None = strawberry.field(default=None, description="The build.")


@strawberry.type(description="About a month.")
class PeriodPayload(Payload):
    period_id: strawberry.ID | None = strawberry.field(default=None, description="The month's id.")
    month: str | None = strawberry.field(default=None, description="For example 2026-10.")
    status: PeriodStatus | None = strawberry.field(default=None, description="CLOSED when it is.")


@strawberry.type
class CorrectingQuery:
    """Fields of ``Query``."""

    @resolved("Months from the first figure on, the newest first.")
    async def periods(
        self,
        info: Info,
        organisation_id: strawberry.ID | None = None,
        at_least: AtLeast = None,
        as_of: AsOf = None,
    ) -> list[AccountingPeriod]:
        scope, then = info.context.scope, info.context.look(info, as_of)
        reads = info.context.reads
        async with reads.use(periods.READS, at_least=at_least, as_of=then) as connection:
            rows = await periods.periods(
                connection,
                scope,
                organisation_id=organisation_id or info.context.caller.person().place(""),
                now=info.context.present_of(info),
            )
        return [AccountingPeriod.of(row) for row in rows]

    @resolved("A month from its cut-off on, or null when there is none that you may know of.")
    async def period(
        self, info: Info, id: strawberry.ID, at_least: AtLeast = None, as_of: AsOf = None
    ) -> AccountingPeriod | None:
        scope, then = info.context.scope, info.context.look(info, as_of)
        reads = info.context.reads
        async with reads.use(periods.READS, at_least=at_least, as_of=then) as connection:
            row = await periods.period(connection, scope, str(id))
        return AccountingPeriod.of(row) if row else None

    @resolved("One lot of material, or null when there is none that you may know of.")
    async def lot(
        self, info: Info, id: strawberry.ID, at_least: AtLeast = None, as_of: AsOf = None
    ) -> Lot | None:
        scope, then = info.context.scope, info.context.look(info, as_of)
        reads = info.context.reads
        async with reads.use(inventory.READS, at_least=at_least, as_of=then) as connection:
            found = await inventory.lots_by_ids(connection, scope, [str(id)])
        return Lot.of(found[str(id)]) if str(id) in found else None

    @resolved(
        "The events behind the figures of an interval (whole hours, UTC), in the log's order. What"
        " still goes on has no event yet."
    )
    async def kpi_sources(
        self,
        info: Info,
        since: Instant | None = None,
        until: Instant | None = None,
        figure: Annotated[
            str, strawberry.argument(description="Only events that add to it: energy_j ...")
        ] = "",
        organisation_id: strawberry.ID | None = None,
        first: First = 50,
        after: After = None,
        at_least: AtLeast = None,
        as_of: AsOf = None,
    ) -> Connection[KpiSource]:
        scope, size, begin = info.context.scope, page_size(first), place(after)
        then = info.context.look(info, as_of)
        reads = info.context.reads
        async with reads.use(figures.READS, at_least=at_least, as_of=then) as connection:
            end = until or info.context.present_of(info)
            page = await figures.sources(
                connection,
                scope,
                organisation_id=organisation_id or info.context.caller.person().place(""),
                since=since or end - timedelta(days=7),
                until=end,
                figure=figure,
                first=size,
                after=begin,
            )
        found = [(row.position, KpiSource.of(row)) for row in page.items]
        return Connection.of(found, has_more=page.has_more, started=after is not None)


@strawberry.type
class CorrectingMutation:
    """Fields of ``Mutation``."""

    @resolved("An earlier stock-take had found another quantity. Later ones stay as they are.")
    async def correct_count(
        self,
        info: Info,
        inventory_id: strawberry.ID,
        position: Annotated[
            Position, strawberry.argument(description="Of the stock-take's ledger entry.")
        ],
        counted_mg: Int53,
        reason: Reason,
        command_id: CommandId = None,
    ) -> InventoryPayload:
        payload = {
            "inventory_id": inventory_id,
            "position": position,
            "counted_mg": counted_mg,
            "reason": reason,
        }
        return await command(
            info,
            InventoryPayload,
            "CorrectCount",
            payload,
            command_id=command_id,
            inventory_id="id",
            free_mg="free_mg",
        )

    @resolved("What a build used had come from another lot; both ledgers are put right at once.")
    async def reassign_consumption(
        self,
        info: Info,
        build_id: strawberry.ID,
        from_inventory_id: strawberry.ID,
        to_inventory_id: strawberry.ID,
        reason: Reason,
        command_id: CommandId = None,
    ) -> InventoryPayload:
        payload = {
            "build_id": build_id,
            "from_inventory_id": from_inventory_id,
            "to_inventory_id": to_inventory_id,
            "reason": reason,
        }
        return await command(
            info,
            InventoryPayload,
            "ReassignConsumption",
            payload,
            command_id=command_id,
            inventory_id="id",
            free_mg="free_mg",
        )

    @resolved("A build had used something else than its machine or meter reported.")
    async def correct_figures(
        self,
        info: Info,
        build_id: strawberry.ID,
        reason: Reason,
        energy_j: Int53 | None = None,
        material_mg: Int53 | None = None,
        command_id: CommandId = None,
    ) -> BuildPayload:
        payload = {
            "build_id": build_id,
            "energy_j": energy_j,
            "material_mg": material_mg,
            "reason": reason,
        }
        return await command(
            info, BuildPayload, "CorrectFigures", payload, command_id=command_id, build_id="id"
        )

    @resolved("A machine was down then, whatever its link said; until now when no end is named.")
    async def correct_downtime(
        self,
        info: Info,
        node_id: strawberry.ID,
        since: Instant,
        reason: Reason,
        until: Instant | None = None,
        command_id: CommandId = None,
    ) -> NodePayload:
        payload = {
            "node_id": node_id,
            "since": since.isoformat(),
            "until": until.isoformat() if until else None,
            "reason": reason,
        }
        return await command(
            info, NodePayload, "CorrectDowntime", payload, command_id=command_id, node_id="id"
        )

    @resolved("Take back a downtime that was recorded by hand.")
    async def withdraw_downtime(
        self,
        info: Info,
        node_id: strawberry.ID,
        since: Annotated[Instant, strawberry.argument(description="When it was said to begin.")],
        reason: Reason,
        command_id: CommandId = None,
    ) -> NodePayload:
        payload = {"node_id": node_id, "since": since.isoformat(), "reason": reason}
        return await command(
            info, NodePayload, "WithdrawDowntime", payload, command_id=command_id, node_id="id"
        )

    @resolved(
        "Close a past month: cut it off, draw up its report from what the log holds, and record"
        " the report's digest. Months are closed in their order; again does nothing new."
    )
    async def close_period(
        self,
        info: Info,
        month: Annotated[str, strawberry.argument(description="For example 2026-10.")],
        organisation_id: strawberry.ID | None = None,
        command_id: CommandId = None,
    ) -> PeriodPayload:
        name = command_id or strawberry.ID(info.context.gateway.new_id())
        cut = await command(
            info,
            PeriodPayload,
            "CutOffPeriod",
            {"month": month},
            command_id=name,
            organisation_id=organisation_id,
            **_TOLD,
        )
        if cut.problems or cut.position is None or cut.status == PeriodStatus.CLOSED:
            return cut
        try:
            row, report = await _drawn_up(info, cut)
        except ImeweError as error:
            return PeriodPayload(problems=[problem_of(error)], command_id=name, month=month)
        payload = {
            "month": month,
            "position": row.cut_position,
            "figures": report.figures,
            "digest": report.digest,
        }
        return await command(
            info,
            PeriodPayload,
            "ClosePeriod",
            payload,
            command_id=f"{name}:close",
            organisation_id=organisation_id,
            **_TOLD,
        )


async def _drawn_up(info: Info, cut: PeriodPayload) -> tuple[PeriodRow, Report]:
    """The report of a month that was just cut off, once the read models have come so far."""
    scope, reads = info.context.scope, info.context.reads
    async with reads.use(periods.READS, at_least=cut.position) as connection:
        row = await periods.cut_off(connection, scope, str(cut.period_id))
        return row, await periods.report(connection, row)


_TOLD = {"period_id": "id", "month": "month", "status": "status"}
