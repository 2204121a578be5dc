"""Tokens that are none, roles that may not, and what belongs to others."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from commands.tokens import Signer
from domain.shared.errors import ForbiddenError, ImeweError, UnauthenticatedError
from ops.cli.client import Client
from ops.clock import SystemClock
from tests.whole import Whole
from tests.whole_invariants import Refusal
from tests.whole_orders import CANCEL, CLEAR, JOB, PASS, RECEIVE, SUBMIT
from tests.whole_people import person, token

pytestmark = pytest.mark.stack

ELSEWHERE = str(uuid4())
"""Another organisation."""
ADMIN = str(uuid4())


def _forged(whole: Whole) -> str:
    """Perfect but for the key."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Signer(pem).sign(
        account_id=ADMIN,
        name="somebody",
        grants=[{"role": "admin", "organisation_id": whole.organisation_id}],
        token_id="1",
        now=SystemClock().now(),
        ttl_s=600,
    )


def _promoted(whole: Whole) -> str:
    """A viewer's token whose claims were changed to an admin's."""
    head, claims, signature = token(whole, "viewer").split(".")
    told = json.loads(base64.urlsafe_b64decode(claims + "=="))
    told["grants"] = [{"role": "admin", "organisation_id": whole.organisation_id}]
    changed = base64.urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip("=")
    return f"{head}.{changed}.{signature}"


def _unsigned(whole: Whole) -> str:
    _, claims, _ = token(whole, "admin").split(".")
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    return f"{head}.{claims}."


BAD_TOKENS: dict[str, Callable[[Whole], str]] = {
    "none": lambda whole: "",
    "expired": lambda whole: token(whole, "admin", ttl_s=-1),
    "forged": _forged,
    "promoted": _promoted,
    "unsigned": _unsigned,
    "rubbish": lambda whole: "rubbish",
}


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_token_that_is_not_ours_opens_nothing(
    whole: Whole, refused: Refusal, program: Path, digest: str, name: str
) -> None:
    with Client(whole.url, BAD_TOKENS[name](whole)) as stranger:
        with refused("UNAUTHENTICATED"):
            stranger.command(SUBMIT, {"input": _order(digest)})
        with refused("UNAUTHENTICATED"):
            stranger.upload(program)
        with pytest.raises(UnauthenticatedError):
            stranger.execute("{ jobs { edges { node { id } } } }")
        with pytest.raises(ImeweError, match=r"UNAUTHENTICATED|token"):
            next(stranger.subscribe("subscription { eventTail { position } }"))


@pytest.mark.parametrize("name", [name for name in BAD_TOKENS if name != "none"])
def test_a_bad_token_is_401_at_every_door(whole: Whole, digest: str, name: str) -> None:
    headers = {"Authorization": f"Bearer {BAD_TOKENS[name](whole)}"}
    with httpx.Client(base_url=whole.url, headers=headers, trust_env=False) as http:
        for answer in (
            http.post("/graphql", json={"query": "{ me { name } }"}),
            http.get(f"/v1/artifacts/{digest}"),
        ):
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"


def _order(digest: str) -> dict[str, Any]:
    part = {"name": "box", "artifactDigest": digest, "materialType": "PLA"}
    return {"name": "order", "parts": [part]}


REGISTER = """mutation { registerNode(name: "mine") { nodeId position
  problems { code message field remedy } } }"""
OPEN = """mutation { openAccount(mail: "eve@example.org", name: "Eve", password: "long enough 1",
  role: ADMIN) { accountId position problems { code message field remedy } } }"""
STOP = """mutation($id: ID!) { emergencyStop(nodeId: $id) { nodeId
  problems { code message field remedy } } }"""


@pytest.mark.parametrize("role", ["viewer", "auditor", "operator", "vendor"])
def test_only_designers_and_admins_order(
    whole: Whole, refused: Refusal, program: Path, digest: str, role: str
) -> None:
    with person(whole, role) as visitor:
        with refused("FORBIDDEN"):
            visitor.command(SUBMIT, {"input": _order(digest)})
        with refused("FORBIDDEN"):
            visitor.upload(program)


@pytest.mark.parametrize("role", ["viewer", "auditor", "designer", "vendor"])
def test_only_staff_clears_beds_and_stops_machines(
    whole: Whole, refused: Refusal, role: str
) -> None:
    node_id = next(iter(whole.names))
    with person(whole, role) as visitor:
        for document in (CLEAR, STOP):
            with refused("FORBIDDEN"):
                visitor.command(document, {"id": node_id})
    assert not whole.node(node_id)["run"]


@pytest.mark.parametrize("role", ["viewer", "auditor", "operator", "designer", "vendor"])
def test_only_admins_open_accounts(whole: Whole, refused: Refusal, role: str) -> None:
    with person(whole, role) as visitor, refused("FORBIDDEN"):
        visitor.command(OPEN)


@pytest.mark.parametrize("role", ["viewer", "auditor", "operator", "designer"])
def test_only_vendors_and_admins_register_machines(
    whole: Whole, refused: Refusal, role: str
) -> None:
    with person(whole, role) as visitor, refused("FORBIDDEN"):
        visitor.command(REGISTER)
    assert "mine" not in {node["name"] for node in whole.nodes()}


def test_a_designer_cannot_cancel_a_colleagues_order(whole: Whole, digest: str) -> None:
    with person(whole, "designer") as owner, person(whole, "designer") as colleague:
        payload = owner.command(SUBMIT, {"input": _order(digest)})
        job_id = payload["jobId"]
        whole.acknowledged.append((job_id, int(payload["position"])))
        with pytest.raises(ForbiddenError):
            colleague.command(CANCEL, {"id": job_id})
        assert not whole.job(job_id)["cancelRequested"]
        owner.command(CANCEL, {"id": job_id})
    whole.until_ended(job_id)


def test_another_organisations_objects_are_not_found_whatever_is_asked(
    whole: Whole, refused: Refusal, digest: str
) -> None:
    job_id = whole.submit_digest(digest)
    whole.until_ended(job_id)
    part_id = whole.job(job_id)["parts"][0]["id"]
    node_id = next(iter(whole.names))
    with person(whole, "admin", ELSEWHERE) as other:
        for document, variables in (
            (CANCEL, {"id": job_id}),
            (PASS, {"id": part_id, "piece": 0}),
            (CLEAR, {"id": node_id}),
            (STOP, {"id": node_id}),
            (RECEIVE, {"node": node_id, "material": "PLA", "lot": "theirs", "mg": 1}),
        ):
            with refused("NOT_FOUND"):
                other.command(document, variables)
        with refused("NOT_FOUND", "parts.0.artifactDigest"):
            other.command(SUBMIT, {"input": _order(digest)})
        assert other.execute(JOB, {"id": job_id})["job"] is None
        for field in ("jobs", "nodes", "inventory", "eventHistory", "accounts"):
            assert other.execute(f"{{ {field} {{ edges {{ cursor }} }} }}")[field]["edges"] == []
        headers = {"Authorization": f"Bearer {token(whole, 'admin', ELSEWHERE)}"}
        answer = httpx.get(f"{whole.url}/v1/artifacts/{digest}", headers=headers, trust_env=False)
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


def test_a_grant_elsewhere_is_no_grant_here(whole: Whole, refused: Refusal, digest: str) -> None:
    headers = {"Imewe-Organisation": whole.organisation_id}
    with person(whole, "admin", ELSEWHERE) as other:
        other._http.headers.update(headers)
        with refused("NOT_FOUND", "parts.0.artifactDigest"):
            other.command(SUBMIT, {"input": _order(digest)})
