"""Stored events through the gateway: whose they are, page by page."""

from typing import Any

import pytest

from domain.shared.errors import UnavailableError
from gateways.graphql.replaying import PAGE_BYTES
from ops.cli.client import Client
from ops.cli.gateway_log import FIRST, GatewayLog
from ops.replaying.lines import event_told
from tests.gateway_tools import ELSEWHERE, ORGANISATION, Bench

PAGE = """query($after: Position!, $first: Int!) { storedEvents(after: $after, first: $first) {
  position leftOut end organisations events { position headers text body } } }"""


def event(sequence: int, *, place: str = ORGANISATION, text: str = "{}") -> dict[str, Any]:
    return {
        "sequence": sequence,
        "time": "2026-11-21T10:00:00.123456789Z",
        "subject": "imewe.events.job.1d2c3b4a-5f6e-5d7c-8b9a-0f1e2d3c4b5a",
        "headers": {"Imewe-Org": place, "Imewe-Version": str(sequence)},
        "text": text,
    }


async def page(bench: Bench, *, after: int = 0, first: int = 10) -> dict[str, Any]:
    answer = await bench.ask(
        PAGE, {"after": str(after), "first": first}, token=bench.token("auditor")
    )
    return dict(answer["data"]["storedEvents"])


async def test_others_events_are_left_out_and_counted() -> None:
    bench = Bench()
    bench.log.events = [event(1), event(2, place=ELSEWHERE), event(3), event(4, place="")]
    found = await page(bench)
    assert [each["position"] for each in found["events"]] == ["1", "3"]
    assert found | {"events": []} == {
        "position": "4",
        "leftOut": 2,
        "end": "4",
        "organisations": [ORGANISATION],
        "events": [],
    }
    beyond = await page(bench, after=9)
    assert (beyond["events"], beyond["position"]) == ([], "9")


async def test_an_answer_is_bounded_and_holds_one_event_at_least() -> None:
    bench = Bench()
    bench.log.events = [event(n, text="x" * (PAGE_BYTES // 2)) for n in (1, 2, 3)]
    assert len((await page(bench))["events"]) == 2
    bench.log.events = [event(1, text="x" * (PAGE_BYTES + 1)), event(2)]
    assert len((await page(bench))["events"]) == 1
    assert len((await page(bench, after=1))["events"]) == 1


UP_TO = """query($after: Position!, $first: Int!, $upTo: Position) {
  storedEvents(after: $after, first: $first, upTo: $upTo) { position events { position } } }"""


async def stretch(bench: Bench, *, after: int, first: int, up_to: int | None = None) -> Any:
    asked = {"after": str(after), "first": first, "upTo": None if up_to is None else str(up_to)}
    return await bench.ask(UP_TO, asked, token=bench.token("auditor"))


async def test_nothing_is_shown_behind_where_a_reading_ends() -> None:
    bench = Bench()
    bench.log.events = [event(n) for n in range(1, 6)]
    told = (await stretch(bench, after=1, first=10, up_to=3))["data"]["storedEvents"]
    assert told == {"position": "3", "events": [{"position": "2"}, {"position": "3"}]}
    assert bench.trail.steps == [("done", "events/2-3", "")]
    told = (await stretch(bench, after=0, first=1, up_to=0))["data"]["storedEvents"]
    assert told == {"position": "0", "events": []}
    assert len(bench.trail.steps) == 1


async def test_an_export_of_many_pages_has_a_line_of_its_beginning_and_one_of_its_end() -> None:
    bench = Bench()
    bench.log.events = [event(n, place=ELSEWHERE if n == 2 else ORGANISATION) for n in range(1, 8)]
    for after in (0, 2, 4):
        await stretch(bench, after=after, first=2, up_to=6)
    assert bench.trail.steps == [("begun", "events/1-6", ""), ("done", "events/1-6", "5 events")]
    await stretch(bench, after=4, first=1)
    assert bench.trail.steps[2:] == [("begun", "events/5-7", "")]


async def test_a_reading_that_goes_on_behind_its_end_is_told_as_far_as_it_came() -> None:
    bench = Bench()
    bench.log.events = [event(n) for n in range(1, 8)]
    await stretch(bench, after=0, first=1, up_to=2)
    await stretch(bench, after=1, first=5)
    assert bench.trail.steps == [("begun", "events/1-2", ""), ("done", "events/1-6", "6 events")]

    await stretch(bench, after=0, first=1, up_to=2)
    bench.trail.refusal = UnavailableError("the trail is away")
    assert (await stretch(bench, after=1, first=5))["data"] is None


async def test_what_cannot_be_told_to_the_audit_trail_is_not_shown() -> None:
    bench = Bench()
    bench.log.events = [event(1)]
    bench.trail.refusal = UnavailableError("the trail is away")
    answer = await stretch(bench, after=0, first=1)
    assert answer["data"] is None
    assert answer["errors"][0]["extensions"]["code"] == "UNAVAILABLE"


async def test_an_export_that_breaks_is_told_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.log.events = [event(n) for n in range(1, 5)]
    await stretch(bench, after=0, first=2)

    async def away(_after: int, _limit: int) -> list[dict[str, Any]]:
        raise UnavailableError("the log is away")

    monkeypatch.setattr(bench.log, "read", away)
    answer = await stretch(bench, after=2, first=2)
    assert answer["errors"]
    assert bench.trail.steps[1:] == [("failed", "events/1-4", "the log is away")]


async def test_only_those_who_audit_may_ask() -> None:
    bench = Bench()
    bench.log.events = [event(1)]
    for role in ("designer", "operator", "viewer", "vendor"):
        asked = {"after": "0", "first": 10}
        answer = await bench.ask(PAGE, asked, token=bench.token(role))
        assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN", role
    assert (await page(bench))["events"]
    refused = await bench.ask(PAGE, {"after": "0", "first": 501})
    assert refused["errors"][0]["extensions"]["code"] == "INVALID_INPUT"


class Answering(Client):
    """A client whose gateway has these events; every third is another organisation's."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        super().__init__("http://gateway")
        self.events = events
        self.asked: list[tuple[int, int]] = []

    def execute(self, document: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        after, first = int((variables or {})["after"]), int((variables or {})["first"])
        self.asked.append((after, first))
        found = self.events[after : after + first]
        shown = [each for each in found if each["sequence"] % 3]
        told = [{"position": str(each["sequence"]), "body": None, **each} for each in shown]
        return {
            "storedEvents": {
                "position": str(found[-1]["sequence"] if found else after),
                "leftOut": len(found) - len(shown),
                "end": str(len(self.events)),
                "organisations": [ORGANISATION],
                "events": [{k: v for k, v in each.items() if k != "sequence"} for each in told],
            }
        }


def test_the_log_is_read_page_by_page_as_far_as_was_asked() -> None:
    with Answering([event(n) for n in range(1, 1301)]) as client:
        log = GatewayLog(client)
        assert (log.end, log.organisations) == (1300, (ORGANISATION,))
        pages = list(log.pages(first=11, last=1200))
        records = [record for page, _ in pages for record in page]
        assert [record.sequence for record in records] == [n for n in range(11, 1201) if n % 3]
        assert log.left_out == 1190 - len(records)
        assert client.asked[1:] == [(10, FIRST), (510, FIRST), (1010, 190)]
        assert event_told(records[0]) == event(11)
        assert list(log.pages(first=1301, last=1400)) == []
