"""Months, corrections and the events behind figures over GraphQL, with rows in PostgreSQL."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from domain.period.aggregate import Period, period_id
from domain.shared.errors import IllegalTransitionError, InvalidInputError
from domain.shared.moments import told
from ops.projecting.places import Connection
from tests.correcting import SEPTEMBER, Works
from tests.gateway_tools import Bench
from tests.projecting import migrated, project
from tests.stories import ORGANISATION

PROBLEMS = "problems { code field message }"
CLOSE = f"""mutation($month: String!) {{ closePeriod(month: $month, commandId: "mine") {{
  periodId month status position {PROBLEMS} }} }}"""
PERIOD = """query($id: ID!, $asOf: AsOf) { period(id: $id, asOf: $asOf) {
  month status cutOff reportDigest closedBy restated { energyJ uptime }
  report { text digest reproduced figures { energyJ } }
  adjustments { edges { node { position eventId what bookedIn figures { name amount }
    lots { inventoryId amounts { name amount } } } } } } }"""
SOURCES = """query($since: Instant!, $until: Instant!, $figure: String!, $after: String) {
  kpiSources(since: $since, until: $until, figure: $figure, first: 2, after: $after) {
    edges { node { position eventId what hour amounts { name amount } } }
    pageInfo { hasNextPage endCursor } } }"""


class ShopsCommands:
    """Does with a story what the commands service would do; ``late``: before the report."""

    def __init__(self, works: Works, database: Connection) -> None:
        self.works = works
        self.database = database
        self.period: Period | None = None
        self.sent: list[tuple[str, str]] = []
        self.late = lambda: None

    async def send(self, name: str, payload: dict[str, Any], **more: str) -> dict[str, Any]:
        self.sent.append((name, more["command_id"]))
        if name == "CutOffPeriod":
            if self.period is None:
                self.period = self.works.cut(payload["month"])
                self.late()
        else:
            assert self.period is not None
            assert payload["position"] == self.works.cut_position(self.period)
            del payload["month"]
            period = self.period
            self.works.act(lambda: period.close(**payload), period)
        project(self.database, self.works.events)
        position = [e.position for e in self.works.events if e.aggregate_id == self.period.id][-1]
        return {
            "position": position,
            "id": str(self.period.id),
            "month": self.period.month,
            "status": self.period.status,
        }


@pytest.fixture
def database(database_url: str) -> Iterator[Connection]:
    with migrated(database_url) as connection:
        yield connection


@pytest.fixture
async def shop(database: Connection, database_url: str) -> AsyncIterator["Asking"]:
    async with AsyncConnectionPool(
        database_url, min_size=1, max_size=3, kwargs={"autocommit": True}, open=False
    ) as pool:
        yield Asking(database, pool)


class Asking:
    """A gateway before a works that made one build in September and one in October."""

    def __init__(self, database: Connection, pool: AsyncConnectionPool) -> None:
        self.works = Works()
        self.database = database
        self.first = self.works.make()
        self.works.later(days=4)
        self.second = self.works.make(energy_j=7)
        self.commands = ShopsCommands(self.works, database)
        self.bench = Bench(pool=pool, commands=self.commands)
        self.bench.clock.present = self.works.now
        project(database, self.works.events)

    async def ask(self, query: str, *roles: str, **variables: Any) -> Any:
        token = self.bench.token(*roles, place=ORGANISATION)
        answer = await self.bench.ask(query, variables, token=token)
        assert "errors" not in answer, answer
        (found,) = answer["data"].values()
        return found


async def test_closing_a_month_cuts_it_off_draws_up_its_report_and_records_the_digest(
    shop: Asking,
) -> None:
    shop.commands.late = lambda: shop.works.correct_meter(shop.first, 600)
    payload = await shop.ask(CLOSE, month="2026-09")
    assert payload["problems"] == []
    assert (payload["month"], payload["status"]) == ("2026-09", "CLOSED")
    assert shop.commands.sent == [("CutOffPeriod", "mine"), ("ClosePeriod", "mine:close")]
    period = await shop.ask(PERIOD, id=payload["periodId"])
    report = period["report"]
    assert report["reproduced"] is True
    assert report["digest"] == period["reportDigest"]
    assert json.loads(report["text"])["figures"]["energy_j"] == report["figures"]["energyJ"] == 1000
    (late,) = [edge["node"] for edge in period["adjustments"]["edges"]]
    assert (late["what"], late["bookedIn"]) == ("Build.FiguresCorrected", None)
    assert late["figures"] == [{"name": "energy_j", "amount": -400}]
    assert period["restated"]["energyJ"] == 600

    again = await shop.ask(CLOSE, month="2026-09")
    assert (again["status"], again["position"]) == ("CLOSED", payload["position"])
    assert shop.commands.sent[2:] == [("CutOffPeriod", "mine")]

    before = await shop.ask(PERIOD, id=payload["periodId"], asOf={"position": period["cutOff"]})
    assert before["status"] == "CUT_OFF"
    assert before["report"]["text"] == report["text"]
    assert before["adjustments"]["edges"] == []
    assert before["restated"]["energyJ"] == 1000


async def test_a_month_that_was_left_between_its_two_steps_is_closed_by_asking_again(
    shop: Asking,
) -> None:
    shop.commands.period = shop.works.cut("2026-09")
    shop.works.correct_meter(shop.first, 1)
    project(shop.database, shop.works.events)
    payload = await shop.ask(CLOSE, month="2026-09")
    period = await shop.ask(PERIOD, id=payload["periodId"])
    assert (period["status"], period["report"]["figures"]["energyJ"]) == ("CLOSED", 1000)


async def test_months_are_listed_from_the_first_figure_on(shop: Asking) -> None:
    listed = await shop.ask("{ periods { id month status cutOff report { digest } } }")
    assert [(each["month"], each["status"]) for each in listed] == [
        ("2026-10", "OPEN"),
        ("2026-09", "OPEN"),
    ]
    assert listed[1]["id"] == str(period_id(ORGANISATION, "2026-09"))
    assert listed[0]["report"] is None
    nobody = await shop.ask(PERIOD, id=listed[1]["id"])
    assert nobody is None


async def test_each_figure_leads_to_the_events_behind_it(shop: Asking) -> None:
    shop.works.correct_meter(shop.first, 600)
    project(shop.database, shop.works.events)
    span = {"since": told(SEPTEMBER), "until": told(SEPTEMBER + timedelta(hours=1))}
    page = await shop.ask(SOURCES, "viewer", figure="energy_j", **span)
    found = [edge["node"] for edge in page["edges"]]
    assert [(each["what"], each["amounts"]) for each in found] == [
        ("Build.Failed", [{"name": "energy_j", "amount": 1000}]),
        ("Build.FiguresCorrected", [{"name": "energy_j", "amount": -400}]),
    ]
    positions = {each.event_id: str(each.position) for each in shop.works.events}
    assert all(positions[each["eventId"]] == each["position"] for each in found)
    assert page["pageInfo"]["hasNextPage"] is False


async def test_a_figure_that_does_not_exist_is_refused(shop: Asking) -> None:
    token = shop.bench.token(place=ORGANISATION)
    query = '{ kpiSources(figure: "wishes") { edges { node { what } } } }'
    answer = await shop.bench.ask(query, token=token)
    assert answer["errors"][0]["extensions"]["code"] == InvalidInputError.code


async def test_a_lot_tells_what_it_held_then_and_from_when_each_booking_counts(
    shop: Asking,
) -> None:
    shop.works.correct_lots(shop.first)
    project(shop.database, shop.works.events)
    query = """query($id: ID!, $at: Instant!, $asOf: AsOf) { lot(id: $id, asOf: $asOf) {
      balance(at: $at) { freeMg wastedMg } entries { what at effectiveFrom } } }"""
    asked = {"id": str(shop.works.lots[1].id), "at": told(SEPTEMBER)}
    lot = await shop.ask(query, **asked)
    assert lot["balance"] == {"freeMg": 999_950, "wastedMg": 50}
    entry = lot["entries"][-1]
    assert entry["what"] == "Inventory.ConsumptionTakenOver"
    assert entry["effectiveFrom"] == told(SEPTEMBER) < entry["at"]
    then = {"position": str(len(shop.works.events) - 1)}
    known = await shop.ask(query, **asked, asOf=then)
    assert known["balance"]["wastedMg"] == 0


@pytest.mark.parametrize(
    ("mutation", "name"),
    [
        ('correctCount(inventoryId: "a", position: "4", countedMg: 5', "CorrectCount"),
        (
            'reassignConsumption(buildId: "b", fromInventoryId: "a", toInventoryId: "c"',
            "ReassignConsumption",
        ),
        ('correctFigures(buildId: "b", energyJ: 5', "CorrectFigures"),
        ('correctDowntime(nodeId: "n", since: "2026-01-12T02:10:00Z"', "CorrectDowntime"),
        ('withdrawDowntime(nodeId: "n", since: "2026-01-12T02:10:00Z"', "WithdrawDowntime"),
    ],
)
async def test_each_correction_sends_its_command_and_a_refusal_is_a_value(
    mutation: str, name: str
) -> None:
    bench = Bench()
    query = (
        f'mutation {{ {mutation}, reason: "why", commandId: "mine") {{ position {PROBLEMS} }} }}'
    )
    (payload,) = (await bench.ask(query))["data"].values()
    assert payload == {"position": "7", "problems": []}
    sent, body, more = bench.commands.sent[0]
    assert (sent, body["reason"], more["command_id"]) == (name, "why", "mine")
    bench.commands.refusal = IllegalTransitionError("not so", field="since")
    (payload,) = (await bench.ask(query))["data"].values()
    assert payload["problems"][0]["code"] == "ILLEGAL_TRANSITION"
