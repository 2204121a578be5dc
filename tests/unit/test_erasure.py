"""Erasing a person: who may order it, what follows, what is left, and who reads notes."""

import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from commands.principal import USER
from commands.wire import AUDIT_READ, TOKEN
from domain.account.aggregate import Account
from domain.account.roles import HUMAN, Role
from domain.shared.errors import (
    ForbiddenError,
    IllegalTransitionError,
    InvalidInputError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from domain.shared.personal import Personal, is_sealed
from tests.stocked_shop import OPERATOR, PROCESSES, StockedShop
from tests.write_side import OTHER_ORG, WriteSide, account_id

BOB = {"mail": "bob@example.org", "name": "Bob", "password": "correct horse", "role": "operator"}
SUPERVISOR = "service/supervisor"


class Side(WriteSide):
    """A write side with an organisation that counts its admins."""

    def __init__(self) -> None:
        super().__init__()
        self.place = str(self.send("FoundOrganisation", {"name": "Shop"}, by=SUPERVISOR)["id"])


@pytest.fixture
def side() -> Iterator[Side]:
    side = Side()
    yield side
    side.close()


@pytest.fixture
def shop() -> Iterator[StockedShop]:
    shop = StockedShop()
    yield shop
    shop.close()


def opened(side: Side, place: str, **changes: Any) -> str:
    account = {**BOB, **changes}
    return str(side.send("OpenAccount", account, by=SUPERVISOR, organisation_id=place)["id"])


def order(side: Side, subject_id: str, *, place: str, **more: str) -> dict[str, Any]:
    """What the service answers to an admin's order."""
    told = {"subject_id": subject_id, "reason": "asked for it"}
    request = side.request("EraseSubject", told, by="user/ada/admin", organisation_id=place, **more)
    body = side.service.command(request.subject, request.headers, request.body)
    return dict(json.loads(body))


def test_an_order_is_answered_when_the_key_is_gone_with_its_certificate(side: Side) -> None:
    place = side.place
    bob = opened(side, place)
    answer = order(side, bob, place=place)
    assert side.topics[-3:] == ["account:Closed", "account:ErasureBegun", "account:Erased"]
    told = answer["certificate"]
    assert answer["position"] == told["position"] == side.last().sequence
    assert (told["key_id"], told["ordered_by"]) == (f"{bob}.00000000", f"user/{account_id('ada')}")
    assert side.people.remains(bob) == []
    assert side.people.noted_erasures() == []
    assert side.secrets.mails == {}
    assert not [name for name in side.answers.values if name.startswith(bob)]


def test_the_confirmation_belongs_to_the_story_of_the_order(side: Side) -> None:
    place = side.place
    order(side, opened(side, place), place=place, correlation="story")
    ordered, confirmed = side.log.records[-2:]
    assert confirmed.headers["Imewe-Cause"] == ordered.headers["Imewe-Event"]
    assert confirmed.headers["Imewe-Story"] == "story"
    assert confirmed.headers["Imewe-Actor"] == "commands"


def test_the_reason_is_sealed_as_the_admins_note(side: Side) -> None:
    place = side.place
    order(side, opened(side, place), place=place)
    reason = json.loads(side.log.records[-2].body)["reason"]
    personal = Personal.from_compact(reason)
    assert personal is not None
    assert personal.subject_id == account_id("ada")


def test_the_same_order_and_another_one_change_nothing_more(side: Side) -> None:
    place = side.place
    bob = opened(side, place)
    first = order(side, bob, place=place, command_id="once")
    before = len(side.log.records)
    side.restart()
    assert order(side, bob, place=place, command_id="once")["certificate"] == first["certificate"]
    assert order(side, bob, place=place)["certificate"] == first["certificate"]
    assert len(side.log.records) == before


def test_the_last_admin_stays(side: Side) -> None:
    place = side.place
    bob = opened(side, place, role="admin")
    assert order(side, bob, place=place)["error"]["code"] == "ILLEGAL_TRANSITION"
    assert not side.people.is_erased(bob)
    eve = opened(side, place, mail="eve@example.org", role="admin")
    assert order(side, bob, place=place)["ok"]
    assert "organisation:AdminDismissed" in side.topics
    assert order(side, eve, place=place)["error"]["code"] == "ILLEGAL_TRANSITION"


@pytest.mark.parametrize("role", sorted(HUMAN - {Role.ADMIN}))
def test_nobody_but_an_admin_orders_it(side: Side, role: Role) -> None:
    place = side.place
    subject = {"subject_id": opened(side, place)}
    with pytest.raises(ForbiddenError):
        side.send("EraseSubject", subject, by=f"user/eve/{role}", organisation_id=place)


def test_unknown_people_and_those_of_others_are_not_found(side: Side) -> None:
    place = side.place
    bob = opened(side, place)
    for subject, where in ((account_id("nobody"), place), ("x", place), (bob, OTHER_ORG)):
        with pytest.raises(NotFoundError):
            side.send(
                "EraseSubject", {"subject_id": subject}, by="user/ada/admin", organisation_id=where
            )
    assert not side.people.is_erased(bob)


def test_only_the_service_itself_confirms(side: Side) -> None:
    bob = opened(side, side.place)
    told = {"account_id": bob, "destroyed": ["data key"]}
    for who in ("user/ada/admin", SUPERVISOR, "service/processes"):
        with pytest.raises(ForbiddenError):
            side.send("ConfirmErasure", told, by=who, organisation_id=side.place)
    with pytest.raises(IllegalTransitionError):
        side.send("ConfirmErasure", told, by="service/commands", organisation_id=side.place)


def test_it_is_never_confirmed_while_something_is_left(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = side.place
    bob = opened(side, place)
    monkeypatch.setattr(side.secrets, "remains", lambda _: [f"key.0.{bob}"])
    assert order(side, bob, place=place)["error"]["code"] == "UNAVAILABLE"
    assert side.topics[-1] == "account:ErasureBegun"
    with pytest.raises(UnavailableError):
        side.erasing.finish(bob)
    assert side.erasing.resume() == 0
    monkeypatch.undo()
    assert side.erasing.resume() == 1
    assert side.topics[-1] == "account:Erased"


def test_a_note_of_an_order_that_was_never_recorded_promises_nothing(side: Side) -> None:
    bob = opened(side, side.place)
    side.people.note_erasure(bob)
    assert side.erasing.resume() == 0
    assert not side.people.is_erased(bob)


def test_a_token_of_an_erased_person_is_refused_everywhere(side: Side) -> None:
    place = side.place
    bob = opened(side, place)
    token = side.signer.sign(
        account_id=bob,
        name="Bob",
        grants=[{"role": "operator", "organisation_id": place}],
        token_id="t",
        now=side.clock.now(),
        ttl_s=60,
    )
    body = json.dumps({"account_ids": [bob]}).encode()
    assert json.loads(side.service.reveal({TOKEN: token}, body))["ok"]
    order(side, bob, place=place)
    assert json.loads(side.service.reveal({TOKEN: token}, body))["error"]["code"] == (
        UnauthenticatedError.code
    )


def test_a_password_that_comes_too_late_is_not_kept(side: Side) -> None:
    bob = opened(side, side.place)
    side.people.destroy(bob)
    with pytest.raises(IllegalTransitionError):
        side.people.replace_password(bob, "battery staple")
    assert side.people.remains(bob) == []


@pytest.mark.parametrize("role", sorted(HUMAN))
def test_admins_and_auditors_read_the_certificate(side: Side, role: Role) -> None:
    place = side.place
    bob = opened(side, place)
    headers = {TOKEN: side.token("eve", role, organisation_id=place)}
    body = json.dumps({"subject_id": bob}).encode()
    if role not in {Role.ADMIN, Role.AUDITOR}:
        assert json.loads(side.service.certificate(headers, body))["error"]["code"] == "FORBIDDEN"
        return
    assert json.loads(side.service.certificate(headers, body))["certificate"] is None
    order(side, bob, place=place)
    told = json.loads(side.service.certificate(headers, body))["certificate"]
    assert told["subject_id"] == bob
    assert "CERTIFICATE OF ERASURE" in told["text"]
    stranger = {TOKEN: side.token("mal", role)}
    assert json.loads(side.service.certificate(stranger, body))["error"]["code"] == "NOT_FOUND"


def test_what_people_write_is_sealed_and_what_services_say_is_not(shop: StockedShop) -> None:
    shop.send("PauseNode", {"node_id": shop.node_id, "reason": "belt"}, by=OPERATOR)
    assert is_sealed(json.loads(shop.last().body)["reason"])
    for name in ("ValidatePart", "SchedulePart", "QueuePiece"):
        shop.send(name, shop.payloads()[name], by=PROCESSES)
    part = {"part_id": shop.part_id, "piece": 0, "reason": "BUILD_FAILED"}
    shop.send("ScrapPiece", part, by=PROCESSES)
    assert json.loads(shop.last().body)["reason"] == "BUILD_FAILED"


def test_a_note_that_looks_sealed_gets_no_more_room_than_another(shop: StockedShop) -> None:
    long = Personal(enc="A256GCM", key="x.00000000", nonce="AA==", ct="A" * 2000).compact()
    with pytest.raises(InvalidInputError):
        shop.send("PauseNode", {"node_id": shop.node_id, "reason": long}, by=OPERATOR)


def test_notes_open_for_people_of_the_authors_organisation_only(side: Side) -> None:
    place = side.place
    bob = opened(side, place)
    note = side.people.sealed_note(bob, "the belt squeaks")
    mail = side.secrets.protect(bob, "mail", "bob@example.org").compact()
    body = json.dumps({"notes": [note, mail, "plain"]}).encode()

    def read(role: Role, where: str) -> dict[str, Any]:
        token = side.token("eve", role, organisation_id=where)
        return dict(json.loads(side.service.reveal({TOKEN: token}, body))["notes"])

    for role in HUMAN:
        assert read(role, place)[note] == "the belt squeaks"
        assert read(role, place).get(mail) is None
        assert read(role, OTHER_ORG) == {}
    order(side, bob, place=place)
    assert read(Role.VIEWER, place)[note] is None


def test_an_address_in_the_trail_is_sealed_for_whom_it_belongs_to(side: Side) -> None:
    place = side.place
    bob = opened(side, place)
    for password in ("correct horse", "wrong"):
        told = {"mail": BOB["mail"], "password": password, "address": "203.0.113.9"}
        side.service.log_in(orjson.dumps(told))
    stored = [written.entry for written in side.audit_log.written]
    assert [is_sealed(entry.address) for entry in stored] == [True, True]
    assert {entry.address for entry in side.entries} == {"203.0.113.9"}
    side.service.log_in(orjson.dumps({**BOB, "mail": "x@example.org", "address": "203.0.113.9"}))
    assert side.audit_log.written[-1].entry.address == "203.0.113.9"
    order(side, bob, place=place)
    headers = {TOKEN: side.token("ada", Role.ADMIN, organisation_id=place)}
    page = json.loads(side.service.audit(AUDIT_READ, headers, b'{"first": 9}'))["entries"]
    assert {entry["address"] for entry in page} == {"203.0.113.9", "erased"}


def test_everybody_reads_the_own_lines_of_the_trail_and_nobody_elses(side: Side) -> None:
    headers = {TOKEN: side.token("eve", Role.DESIGNER)}
    for name in ("eve", "bob"):
        with pytest.raises(ForbiddenError):
            side.send("RegisterNode", {"name": "n", "virtual": True}, by=f"user/{name}/viewer")

    def read(about: str | None) -> dict[str, Any]:
        body = orjson.dumps({"first": 9, "about": about})
        return dict(json.loads(side.service.audit(AUDIT_READ, headers, body)))

    own = read(account_id("eve"))["entries"]
    assert {entry["actor"] for entry in own} == {f"{USER}/{account_id('eve')}"}
    for about in (account_id("bob"), None):
        assert read(about)["error"]["code"] == "FORBIDDEN"


def test_reading_what_concerns_somebody_else_is_a_line_of_its_own(side: Side) -> None:
    headers = {TOKEN: side.token("ada", Role.ADMIN, organisation_id=side.place)}
    for about in (account_id("bob"), account_id("ada")):
        body = orjson.dumps({"first": 9, "about": about})
        assert json.loads(side.service.audit(AUDIT_READ, headers, body))["ok"]
    (entry,) = side.entries
    assert (entry.action, entry.resource) == ("ExportSubject", f"account/{account_id('bob')}")


def test_an_erased_account_folds_from_the_log_alone(side: Side) -> None:
    place = side.place
    bob = opened(side, place)
    order(side, bob, place=place)
    account = side.application.find(bob)
    assert isinstance(account, Account)
    assert vars(side.refolded(account)) == vars(account)
    assert (account.closed, account.erasure) == (True, "done")
