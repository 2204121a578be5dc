"""People of a whole system, by tokens that its own key has signed."""

from datetime import UTC, datetime
from uuid import uuid4

from commands.tokens import Signer
from ops.cli.client import Client
from ops.keys import token_keys
from tests.whole import Whole


def person(whole: Whole, role: str, organisation_id: str = "") -> Client:
    """The conversation of somebody with one role, by default in the admin's organisation."""
    return Client(whole.url, token(whole, role, organisation_id))


def token(whole: Whole, role: str, organisation_id: str = "", *, ttl_s: int = 600) -> str:
    """A good token of somebody new; below zero, ``ttl_s`` makes an expired one."""
    place = organisation_id or whole.organisation_id
    return Signer(token_keys(whole.home).private).sign(
        account_id=str(uuid4()),
        name="somebody",
        grants=[{"role": role, "organisation_id": place}],
        token_id=uuid4().hex,
        now=datetime.now(UTC),
        ttl_s=ttl_s,
    )
