"""Heads, keys and the notary's state in GraphQL: what it says is handed on, nothing is added."""

from typing import Any

from commands.authorisation import READ_PROOF, ROTATE_NOTARY_KEY, permitted_places
from commands.principal import Principal
from domain.shared.errors import ConflictError, ForbiddenError, UnavailableError
from tests.gateway_tools import Bench

HEAD = {
    "at": 7,
    "size": 9_007_199_254_740_993,
    "root": "ab" * 32,
    "map_root": "cd" * 32,
    "time": "2026-11-22T10:00:00.123Z",
    "signed_by": ["imewe.log/x/notary-1"],
    "note": "a note\n",
}
KEY = {
    "number": 2,
    "from_size": 11,
    "verifier": "name+00112233+AQ==",
    "time": "2026-11-22T10:00:00.123Z",
    "note": "a rotation\n",
}
STATUS: dict[str, Any] = {
    "phase": "stopped_by_flaw",
    "origin": "imewe.log/x",
    "signed": 10,
    "taken": 12,
    "log_end": 15,
    "unsigned_tail": 5,
    "key": 2,
    "flaw": {"sequence": 13, "reason": "missing"},
    "trouble": "",
    "places": [{"name": "usb", "kind": "file", "to": "/x", "delivered": 7, "problem": ""}],
}
HEADS = """query($before: String) { auditHeads(first: 2, before: $before) {
  edges { cursor node { size root mapRoot time signedBy note } } pageInfo { hasNextPage } } }"""
ROTATE = "mutation { rotateAuditKey { key { number fromSize } problems { code message } } }"


async def test_a_page_of_heads_leads_on_to_the_next() -> None:
    bench = Bench()
    bench.administration.answers["heads"] = {"heads": [HEAD], "has_more": True}
    token = bench.token("auditor")
    page = (await bench.ask(HEADS, token=token))["data"]["auditHeads"]
    assert page["pageInfo"]["hasNextPage"]
    assert page["edges"][0]["node"] == {
        "size": "9007199254740993",
        "root": "ab" * 32,
        "mapRoot": "cd" * 32,
        "time": "2026-11-22T10:00:00.123Z",
        "signedBy": ["imewe.log/x/notary-1"],
        "note": "a note\n",
    }
    await bench.ask(HEADS, {"before": page["edges"][0]["cursor"]}, token=token)
    assert bench.administration.asked == [
        ("notary", "heads", {"first": 2, "before": None}, token),
        ("notary", "heads", {"first": 2, "before": 7}, token),
    ]


async def test_before_the_first_head_there_is_none() -> None:
    bench = Bench()
    bench.administration.answers["heads"] = {"heads": [], "has_more": False}
    answer = await bench.ask("{ auditHead { size } }", token=bench.token("admin"))
    assert answer["data"]["auditHead"] is None


async def test_a_flaw_stands_in_the_state() -> None:
    bench = Bench()
    bench.administration.answers["status"] = STATUS
    query = """{ auditStatus { phase sizeSigned unsignedTail keyNumber flaw { sequence reason }
      places { name delivered problem } } }"""
    answer = await bench.ask(query, token=bench.token("auditor"))
    assert answer["data"]["auditStatus"] == {
        "phase": "stopped_by_flaw",
        "sizeSigned": "10",
        "unsignedTail": 5,
        "keyNumber": 2,
        "flaw": {"sequence": "13", "reason": "missing"},
        "places": [{"name": "usb", "delivered": 7, "problem": ""}],
    }


async def test_keys_are_shown_and_the_next_one_is_made() -> None:
    bench = Bench()
    bench.administration.answers |= {"keys": {"keys": [KEY]}, "rotate": KEY}
    shown = await bench.ask("{ auditKeys { number verifier note } }", token=bench.token("auditor"))
    assert shown["data"]["auditKeys"][0]["verifier"] == KEY["verifier"]
    made = await bench.ask(ROTATE, token=bench.token("admin"))
    assert made["data"]["rotateAuditKey"] == {
        "key": {"number": 2, "fromSize": "11"},
        "problems": [],
    }


async def test_what_the_notary_refuses_is_told() -> None:
    bench = Bench()
    bench.administration.refusal = ConflictError("the notary is not signing now")
    refused = await bench.ask(ROTATE, token=bench.token("admin"))
    assert refused["data"]["rotateAuditKey"]["problems"][0]["code"] == "CONFLICT"
    bench.administration.refusal = UnavailableError("the notary service does not run")
    answer = await bench.ask("{ auditStatus { phase } }", token=bench.token("admin"))
    assert answer["errors"][0]["extensions"]["code"] == "UNAVAILABLE"


async def test_a_stranger_is_not_even_asked_for() -> None:
    bench = Bench()
    for query in (HEADS, "{ auditKeys { number } }", "{ auditStatus { phase } }"):
        answer = await bench.ask(query, token="")
        assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    refused = await bench.ask(ROTATE, token="")
    assert refused["data"]["rotateAuditKey"]["problems"][0]["code"] == "UNAUTHENTICATED"
    assert bench.administration.asked == []


def test_auditors_read_the_proof_and_only_admins_change_the_key() -> None:
    bench = Bench()
    allowed: dict[str, set[str]] = {READ_PROOF: set(), ROTATE_NOTARY_KEY: set()}
    for role in ("admin", "auditor", "operator", "designer", "vendor", "viewer"):
        principal: Principal = bench.gateway.verifier.verify(bench.token(role))
        for right, roles in allowed.items():
            try:
                permitted_places(right, principal)
            except ForbiddenError:
                continue
            roles.add(role)
    assert allowed == {READ_PROOF: {"admin", "auditor"}, ROTATE_NOTARY_KEY: {"admin"}}
