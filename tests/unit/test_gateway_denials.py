"""What the gateway refuses for want of a right reaches the audit trail, and who reads that."""

import asyncio
from typing import Any

import httpx
import pytest

from domain.shared.errors import (
    ForbiddenError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from gateways.security import denials as module
from gateways.security.bearer import Caller
from gateways.security.denials import OTHERS, WAITING_LIMIT, Denials
from tests.gateway_tools import Bench, FakeTrail

CLEAR_BED = """mutation { clearBed(nodeId: "7b6a5c4d-3e2f-5d1c-8b0a-9f8e7d6c5b4a") {
  problems { code } } }"""
ENTRY = {
    "sequence": 7,
    "at": "2026-01-12T10:30:00+00:00",
    "actor": "nobody",
    "action": "login",
    "resource": "mail/0123",
    "outcome": "UNAUTHENTICATED",
    "reason": "mail or password is wrong",
    "address": "::1",
    "organisation_id": "",
    "correlation_id": "",
    "count": 3,
    "hash": "sha256:0",
}
TRAIL = """query($first: Int, $before: String) { auditTrail(first: $first, before: $before) {
  edges { cursor node { sequence actor outcome count at } }
  pageInfo { hasNextPage endCursor } } }"""


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def denied(bench: Bench) -> list[tuple[str, str, str, int, bool]]:
    """What was handed over: action, outcome, address, count, whether with a token."""
    await bench.gateway.denials.close()
    return [
        (d.action, d.outcome, d.address, count, bool(d.token)) for d, count in bench.trail.denials
    ]


async def test_a_read_without_a_token_is_told_by_the_fields_own_name(bench: Bench) -> None:
    answer = await bench.ask("{ x: jobs { edges { cursor } } }", token="")
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert await denied(bench) == [("read jobs", "UNAUTHENTICATED", "127.0.0.1", 1, False)]


async def test_a_forged_token_is_told_without_it(bench: Bench) -> None:
    await bench.ask("{ me { name } }", token="forged")
    assert await denied(bench) == [("graphql", "UNAUTHENTICATED", "127.0.0.1", 1, False)]


async def test_a_command_without_a_token_is_told(bench: Bench) -> None:
    await bench.ask(CLEAR_BED, token="")
    assert [each[:2] for each in await denied(bench)] == [("ClearBed", "UNAUTHENTICATED")]


async def test_what_the_commands_service_refuses_is_not_told_twice(bench: Bench) -> None:
    bench.commands.refusal = ForbiddenError("you may not clear bed")
    await bench.ask(CLEAR_BED)
    assert await denied(bench) == []
    assert bench.commands.sent[0][2]["address"] == "127.0.0.1"


async def test_an_upload_by_somebody_without_the_right_is_told_with_the_token(
    bench: Bench,
) -> None:
    async with bench.client(bench.token("viewer")) as client:
        assert (await client.post("/v1/artifacts", content=b"")).status_code == 403
    async with bench.client("forged") as client:
        assert (await client.get("/v1/artifacts/abc")).status_code == 401
    assert await denied(bench) == [
        ("POST /v1/artifacts", "FORBIDDEN", "127.0.0.1", 1, True),
        ("GET /v1/artifacts/{digest}", "UNAUTHENTICATED", "127.0.0.1", 1, False),
    ]


async def test_the_clients_address_goes_with_a_login(bench: Bench) -> None:
    await bench.ask('mutation { login(mail: "a@b", password: "x") { token } }', token="")
    assert bench.passwords.addresses == ["127.0.0.1"]
    assert await denied(bench) == []


async def test_equal_denials_that_wait_are_handed_over_as_a_number() -> None:
    trail = FakeTrail()
    denials = Denials(trail.tell)
    for _ in range(50):
        denials.report(UnauthenticatedError("no"), Caller(address="::1"), action="graphql")
    await denials.close()
    assert sum(count for _, count in trail.denials) == 50
    assert len(trail.denials) <= 2


async def test_different_ones_wait_only_up_to_a_limit_and_none_is_lost() -> None:
    trail = FakeTrail()
    denials = Denials(trail.tell)
    for number in range(WAITING_LIMIT * 3):
        denials.report(UnauthenticatedError("no"), Caller(address=f"::{number}"), action="graphql")
    await denials.close()
    assert len(trail.denials) == WAITING_LIMIT + 1
    assert trail.denials[-1] == (OTHERS, WAITING_LIMIT * 2)


async def test_a_denial_waits_for_a_commands_service_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    trail = FakeTrail()
    trail.refusal = UnavailableError("away")
    denials = Denials(trail.tell)
    denials.report(ForbiddenError("no"), Caller(), action="x")
    await asyncio.sleep(0.05)
    denials.report(ForbiddenError("no"), Caller(), action="x")
    trail.refusal = None
    await denials.close()
    assert [count for _, count in trail.denials] == [2]


async def test_other_refusals_are_no_matter_of_the_trail() -> None:
    trail = FakeTrail()
    denials = Denials(trail.tell)
    denials.report(NotFoundError("there is none"), Caller(), action="x")
    await denials.close()
    assert trail.denials == []


async def test_the_trail_is_read_page_by_page(bench: Bench) -> None:
    bench.trail.page = {"entries": [ENTRY], "oldest": 5, "has_more": True}
    shown = await bench.ask(TRAIL, {"first": 1, "before": None})
    found = shown["data"]["auditTrail"]
    assert found["edges"][0]["node"] == {
        "sequence": "7",
        "actor": "nobody",
        "outcome": "UNAUTHENTICATED",
        "count": 3,
        "at": "2026-01-12T10:30:00.000Z",
    }
    assert found["pageInfo"]["hasNextPage"] is True
    await bench.ask(TRAIL, {"first": 1, "before": found["pageInfo"]["endCursor"]})
    assert bench.trail.asked == [(1, None), (1, 5)]


async def test_who_may_not_read_the_trail_is_refused_and_told(bench: Bench) -> None:
    bench.trail.refusal = ForbiddenError("you may not read the audit trail")
    shown = await bench.ask(TRAIL, {"first": 1}, token=bench.token("designer"))
    assert shown["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    bench.trail.refusal = None
    assert [each[0] for each in await denied(bench)] == ["read auditTrail"]


@pytest.mark.parametrize(
    ("asked", "field"), [({"first": 0}, "first"), ({"first": 5, "before": "x"}, "before")]
)
async def test_a_page_of_no_sense_is_refused_by_its_field(
    bench: Bench, asked: dict[str, Any], field: str
) -> None:
    shown = await bench.ask(TRAIL, asked)
    assert shown["errors"][0]["extensions"]["problem"]["field"] == field
    assert bench.trail.asked == []


async def test_a_client_behind_no_socket_has_no_address(bench: Bench) -> None:
    transport = httpx.ASGITransport(bench.app, client=("not an address", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        await client.post("/graphql", json={"query": "{ me { name } }"})
    assert [each[2] for each in await denied(bench)] == ["not an address"]
