"""Names and mails: sealed for everybody but the person and the admins who opened the account."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest

from commands.wire import TOKEN
from domain.account.roles import HUMAN, Role
from domain.shared.scope import Scope
from gateways.graphql.loaders import Loaders
from gateways.graphql.reads import Reads
from tests.write_side import ORG, OTHER_ORG, WriteSide, account_id

ADMIN = "user/ada/admin"
BOB = {"mail": "bob@example.org", "name": "Bob", "password": "correct horse", "role": "designer"}
NOBODY = "0a1b2c3d-4e5f-5a6b-8c7d-8e9f0a1b2c3d"


@pytest.fixture
def side() -> Iterator[WriteSide]:
    side = WriteSide()
    yield side
    side.close()


def reveal(side: WriteSide, token: str, *account_ids: object) -> dict[str, Any]:
    body = json.dumps({"account_ids": account_ids}).encode()
    answer: dict[str, Any] = json.loads(side.service.reveal({TOKEN: token}, body))
    return answer


def test_an_admin_reads_the_people_of_the_own_organisation(side: WriteSide) -> None:
    bob = side.send("OpenAccount", BOB, by=ADMIN)["id"]
    told = reveal(side, side.token("ada", Role.ADMIN), bob, NOBODY)
    person = {"mail": "bob@example.org", "name": "Bob"}
    assert told == {"ok": True, "people": {bob: person}, "notes": {}}


@pytest.mark.parametrize("role", sorted(HUMAN - {Role.ADMIN}))
def test_nobody_else_reads_them(side: WriteSide, role: Role) -> None:
    bob = side.send("OpenAccount", BOB, by=ADMIN)["id"]
    assert reveal(side, side.token("eve", role), bob)["people"] == {}


def test_an_admin_of_another_organisation_does_not_read_them(side: WriteSide) -> None:
    bob = side.send("OpenAccount", BOB, by=ADMIN)["id"]
    token = side.token("eve", Role.ADMIN, organisation_id=OTHER_ORG)
    assert reveal(side, token, bob)["people"] == {}


def test_everybody_reads_the_own_name(side: WriteSide) -> None:
    bob = side.send("OpenAccount", BOB, by=ADMIN)["id"]
    token = side.signer.sign(
        account_id=bob,
        name="Bob",
        grants=[{"role": "viewer", "organisation_id": ORG}],
        token_id="t",
        now=side.clock.now(),
        ttl_s=60,
    )
    assert reveal(side, token, bob)["people"][bob]["name"] == "Bob"


def test_what_was_erased_is_null(side: WriteSide, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = side.send("OpenAccount", BOB, by=ADMIN)["id"]
    monkeypatch.setattr(side.secrets, "reveal", lambda *_: None)
    told = reveal(side, side.token("ada", Role.ADMIN), bob)
    assert told["people"] == {bob: {"mail": None, "name": None}}


def test_only_accounts_are_people(side: WriteSide) -> None:
    node = {"name": "prusa-1", "bridge": "local", "virtual": True}
    node_id = side.send("RegisterNode", node, by=ADMIN)["id"]
    assert reveal(side, side.token("ada", Role.ADMIN), node_id)["people"] == {}


@pytest.mark.parametrize(
    "wrong", [b"", b"{}", b"[]", b'{"account_ids": [1]}', b'{"account_ids": 1}']
)
def test_a_request_that_names_nobody_is_refused(side: WriteSide, wrong: bytes) -> None:
    token = side.token("ada", Role.ADMIN)
    assert (
        json.loads(side.service.reveal({TOKEN: token}, wrong))["error"]["code"] == "INVALID_INPUT"
    )
    many = reveal(side, token, *[NOBODY] * 501)
    assert many["error"]["code"] == "INVALID_INPUT"


@pytest.mark.parametrize("token", ["", "forged"])
def test_without_a_good_token_nothing_is_told(side: WriteSide, token: str) -> None:
    bob = side.send("OpenAccount", BOB, by=ADMIN)["id"]
    assert reveal(side, token, bob)["error"]["code"] == "UNAUTHENTICATED"


async def test_a_page_of_people_is_asked_for_at_once() -> None:
    asked: list[list[str]] = []

    async def reveal_all(ids: list[str]) -> dict[str, dict[str, str | None]]:
        asked.append(ids)
        return {"a": {"mail": "a@example.org", "name": "Ada"}}

    scope = Scope(account_id=account_id("ada"), grants=())
    loaders = Loaders(cast("Reads", None), lambda: scope, reveal=reveal_all)
    load = loaders.person_of_account.load
    ada, bob, again = await asyncio.gather(load("a"), load("b"), load("a"))
    assert asked == [["a", "b"]]
    assert (ada["name"], bob["name"], again["mail"]) == ("Ada", None, "a@example.org")
