"""Material ledgers."""

from typing import Self

import strawberry

from gateways.graphql.context import Info
from gateways.graphql.fields import described, resolved
from gateways.graphql.notes import noted
from gateways.graphql.scalars import Instant, Int53, Position
from gateways.graphql.types.shared import optional_id
from projections.inventory import queries as inventory
from projections.inventory.rows import BalanceRow, EntryRow, LotRow


@strawberry.type(description="One booking of a lot.")
class LedgerEntry:
    position: Position = described("Its event.")
    at: Instant = described("When it happened.")
    effective_from: Instant = described("From when it counts: earlier for a correction.")
    what: str = described("The event's name, for example Inventory.Consumed.")
    quantity_mg: Int53 = described("mg.")
    build_id: strawberry.ID | None = described("The build it was for.")
    reason: str = noted("Why, or empty.")
    free_mg: Int53 = described("Free after it, mg.")
    reserved_mg: Int53 = described("Reserved after it, mg.")
    actor: str = described("Who caused it: kind/id.")

    @classmethod
    def of(cls, row: EntryRow) -> Self:
        """From a committed row."""
        return cls(
            position=Position(row.position),
            at=Instant(row.at),
            effective_from=Instant(row.effective_from),
            what=row.what,
            quantity_mg=Int53(row.quantity_mg),
            build_id=optional_id(row.build_id),
            reason=row.reason,
            free_mg=Int53(row.free_mg),
            reserved_mg=Int53(row.reserved_mg),
            actor=row.actor,
        )


@strawberry.type(description="What a lot held at a moment, as it is known now.")
class LotBalance:
    at: Instant = described("The moment.")
    free_mg: Int53 = described("mg.")
    reserved_mg: Int53 = described("mg.")
    consumed_mg: Int53 = described("Used by then by builds that finished, mg.")
    wasted_mg: Int53 = described("Used by then by builds from which nothing came, mg.")
    adjusted_mg: Int53 = described("What counts and corrections had found missing, mg.")

    @classmethod
    def of(cls, row: BalanceRow, *, at: Instant) -> Self:
        """From summed rows."""
        return cls(
            at=at,
            free_mg=Int53(row.free_mg),
            reserved_mg=Int53(row.reserved_mg),
            consumed_mg=Int53(row.consumed_mg),
            wasted_mg=Int53(row.wasted_mg),
            adjusted_mg=Int53(row.adjusted_mg),
        )


@strawberry.type(
    description="The ledger of one lot at one machine: supplied = free + reserved + consumed +"
    " wasted + in transit - adjusted."
)
class Lot:
    id: strawberry.ID = described("Its id.")
    node_id: strawberry.ID = described("Where it lies.")
    material_type: str = described("Upper case, for example PLA.")
    lot: str = described("The supplier's or the operator's name of it.")
    density: float = described("g/cm³.")
    supplied_mg: Int53 = described("Came in, mg.")
    free_mg: Int53 = described("May be reserved, mg.")
    reserved_mg: Int53 = described("Held for builds, mg.")
    consumed_mg: Int53 = described("Used by builds that finished, mg.")
    wasted_mg: Int53 = described("Used by builds from which nothing came, mg.")
    in_transit_mg: Int53 = described("On its way from or to another machine, mg.")
    adjusted_mg: Int53 = described("What counts and corrections found missing, mg.")
    position: Position = described("The last event that changed it.")

    @classmethod
    def of(cls, row: LotRow) -> Self:
        """From a committed row."""
        return cls(
            id=strawberry.ID(row.id),
            node_id=strawberry.ID(row.node_id),
            material_type=row.material,
            lot=row.lot,
            density=row.density_ug_per_mm3 / 1000,
            supplied_mg=Int53(-row.supplier_mg),
            free_mg=Int53(row.free_mg),
            reserved_mg=Int53(row.reserved_mg),
            consumed_mg=Int53(row.consumed_mg),
            wasted_mg=Int53(row.wasted_mg),
            in_transit_mg=Int53(row.in_transit_mg),
            adjusted_mg=Int53(row.adjusted_mg),
            position=Position(row.position),
        )

    @resolved("Its bookings from the beginning.")
    async def entries(self, info: Info, first: int = 100) -> list[LedgerEntry]:
        rows = await info.context.loaders_of(info).entries_of_lot.load((str(self.id), first))
        return [LedgerEntry.of(row) for row in rows]

    @resolved("What it held at a moment, with every correction that is known now.")
    async def balance(self, info: Info, at: Instant) -> LotBalance | None:
        scope, then = info.context.scope, info.context.when_of(info)
        async with info.context.reads.use(inventory.READS, as_of=then) as connection:
            row = await inventory.balance(connection, scope, str(self.id), at=at)
        return LotBalance.of(row, at=at) if row else None
