"""Any order of bookings: the accounts sum to zero and stock is never negative."""

from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from domain.inventory.aggregate import Inventory
from domain.shared.errors import ImeweError
from tests.machine import AggregateMachine

MG = st.integers(-2, 60)
BUILDS = st.sampled_from(["b1", "b2", "b3", "b4"])
TRANSFERS = st.sampled_from(["t1", "t2", "t3"])


class InventoryMachine(AggregateMachine):
    aggregate: Inventory

    @initialize()
    def open(self) -> None:
        self.aggregate = Inventory.open(
            UUID(int=5),
            organisation_id="org",
            node_id="n1",
            material="PLA",
            lot="a",
            density_ug_per_mm3=1240,
        )

    @rule(quantity=MG)
    def receive(self, quantity: int) -> None:
        before = self.aggregate.accounts["free"]
        try:
            self.aggregate.receive(quantity)
        except ImeweError:
            assert quantity <= 0
            return
        assert self.aggregate.accounts["free"] == before + quantity

    @rule(difference=MG)
    def correct(self, difference: int) -> None:
        before = self.aggregate.accounts["free"]
        try:
            self.aggregate.correct(difference, reason="wet")
        except ImeweError:
            assert before + difference < 0
            return
        assert self.aggregate.accounts["free"] == before + difference

    @rule(build=BUILDS, quantity=MG)
    def reserve(self, build: str, quantity: int) -> None:
        self.attempt(lambda lot: lot.reserve(build, quantity))

    @rule(build=BUILDS)
    def release(self, build: str) -> None:
        self.attempt(lambda lot: lot.release(build))

    @rule(build=BUILDS, quantity=MG, good=st.booleans())
    def use(self, build: str, quantity: int, *, good: bool) -> None:
        before = dict(self.aggregate.accounts)
        settled = build in self.aggregate.settled
        if good:
            obeyed = self.attempt(lambda lot: lot.consume(build, quantity))
        else:
            obeyed = self.attempt(lambda lot: lot.waste(build, quantity, reason="jam"))
        account = "consumed" if good else "wasted"
        booked = self.aggregate.accounts[account] - before[account]
        assert booked == (quantity if obeyed and not settled else 0)

    @rule(counted=MG)
    def count(self, counted: int) -> None:
        if self.attempt(lambda lot: lot.count(counted)):
            accounts = self.aggregate.accounts
            assert accounts["free"] + accounts["reserved"] == counted

    @rule(transfer=TRANSFERS, quantity=MG)
    def send(self, transfer: str, quantity: int) -> None:
        self.attempt(
            lambda lot: lot.send_transfer(transfer, to_inventory_id="x", quantity_mg=quantity)
        )

    @rule(transfer=TRANSFERS, quantity=MG)
    def arrive(self, transfer: str, quantity: int) -> None:
        self.attempt(
            lambda lot: lot.receive_transfer(transfer, from_inventory_id="x", quantity_mg=quantity)
        )

    @invariant()
    def the_accounts_sum_to_zero_and_stock_is_never_negative(self) -> None:
        accounts = self.aggregate.accounts
        assert sum(accounts.values()) == 0
        assert accounts["free"] >= 0
        assert accounts["reserved"] == sum(self.aggregate.reservations.values()) >= 0
        assert accounts["consumed"] >= 0
        assert accounts["wasted"] >= 0

    @invariant()
    def a_build_is_booked_once(self) -> None:
        assert len(self.aggregate.settled) == len(set(self.aggregate.settled))
        assert not set(self.aggregate.settled) & set(self.aggregate.reservations)


TestInventory = InventoryMachine.TestCase
