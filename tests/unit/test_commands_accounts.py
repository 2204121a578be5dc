"""People: opening accounts, signing in, passwords."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from argon2 import PasswordHasher

from commands.accounts.authentication import ARGON2ID, HASHES_AT_ONCE, Authentication
from commands.accounts.login import ATTEMPTS_A_MINUTE, Attempts
from domain.shared.errors import IllegalTransitionError, InvalidInputError, UnavailableError
from ops.founding import found
from ops.hosting.entrance import FirstAdmin
from tests.fake_ports import FakeSecrets
from tests.write_side import CHEAP, ORG, WriteSide, account_id

CARL: dict[str, Any] = {
    "mail": "Carl@Example.org",
    "name": "Carl",
    "password": "correct horse",
    "role": "designer",
}
ADMIN = "user/ada/admin"


@pytest.fixture
def side() -> Iterator[WriteSide]:
    side = WriteSide()
    yield side
    side.close()


def log_in(side: WriteSide, mail: str, password: str) -> dict[str, Any]:
    body = json.dumps({"mail": mail, "password": password}).encode()
    answer: dict[str, Any] = json.loads(side.service.log_in(body))
    return answer


def test_who_was_given_an_account_can_sign_in(side: WriteSide) -> None:
    account = side.send("OpenAccount", CARL, by=ADMIN)["id"]
    for mail in ("carl@example.org", "CARL@example.org"):
        assert log_in(side, mail, "correct horse") == {
            "ok": True,
            "account_id": account,
            "name": "Carl",
            "grants": [{"role": "designer", "organisation_id": ORG}],
        }


@pytest.mark.parametrize(
    ("mail", "password"),
    [("carl@example.org", "wrong horse"), ("nobody@example.org", "correct horse"), ("", "")],
)
def test_a_wrong_mail_and_a_wrong_password_are_told_alike(
    side: WriteSide, mail: str, password: str
) -> None:
    side.send("OpenAccount", CARL, by=ADMIN)
    told = log_in(side, mail, password)["error"]
    assert (told["code"], told["message"]) == ("UNAUTHENTICATED", "mail or password is wrong")


def test_an_unknown_mail_costs_a_hash_like_a_known_one() -> None:
    hasher = CountingHasher()
    people = Authentication(FakeSecrets(), hasher=hasher)
    people.enrol(account_id("carl"), mail="carl@example.org", password="correct horse")
    hasher.verified = 0
    assert not people.proves(account_id("carl"), "wrong horse")
    assert not people.proves(None, "wrong horse")
    assert not people.proves(account_id("nobody"), "wrong horse")
    assert hasher.verified == 3


def test_nobodys_password_opens_nothing() -> None:
    people = Authentication(FakeSecrets(), hasher=CHEAP)
    assert not people.proves(None, "nobody's password")


def test_passwords_are_hashed_as_owasp_recommends() -> None:
    assert ARGON2ID.hash("x").startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_only_a_few_passwords_are_hashed_at_once() -> None:
    hasher = CountingHasher()
    people = Authentication(FakeSecrets(), hasher=hasher)
    tries = [threading.Thread(target=people.proves, args=(None, "x")) for _ in range(8)]
    for each in tries:
        each.start()
    for each in tries:
        each.join()
    assert hasher.most_at_once <= HASHES_AT_ONCE


def test_no_event_holds_a_name_a_mail_or_a_password(side: WriteSide) -> None:
    side.send("OpenAccount", CARL, by=ADMIN)
    stored = b"".join(record.body for record in side.log.records)
    for word in (b"Carl", b"Example", b"correct horse", b"argon2"):
        assert word not in stored


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"mail": "no mail"}, "mail"),
        ({"mail": "a b@example.org"}, "mail"),
        ({"mail": "@example.org"}, "mail"),
        ({"mail": f"{'x' * 250}@example.org"}, "mail"),
        ({"name": " "}, "name"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 1025}, "password"),
        ({"role": "service"}, "role"),
        ({"role": "king"}, "role"),
    ],
)
def test_a_bad_account_is_refused_by_the_field_and_leaves_nothing(
    side: WriteSide, changes: dict[str, str], field: str
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        side.send("OpenAccount", {**CARL, **changes}, by=ADMIN)
    assert refused.value.field == field
    assert not side.log.records
    assert not side.secrets.mails


def test_one_mail_address_has_one_account(side: WriteSide) -> None:
    side.send("OpenAccount", CARL, by=ADMIN)
    with pytest.raises(InvalidInputError, match="has an account already"):
        side.send("OpenAccount", {**CARL, "password": "another horse"}, by=ADMIN)
    assert log_in(side, "carl@example.org", "correct horse")["ok"]


def test_a_closed_account_opens_nothing_and_frees_its_mail(side: WriteSide) -> None:
    account = side.send("OpenAccount", CARL, by=ADMIN)["id"]
    side.send("CloseAccount", {"account_id": account}, by=ADMIN)
    assert log_in(side, "carl@example.org", "correct horse")["error"]["code"] == "UNAUTHENTICATED"
    again = side.send("OpenAccount", CARL, by=ADMIN)["id"]
    assert log_in(side, "carl@example.org", "correct horse")["account_id"] == again != account


def test_a_closed_account_opens_nothing_even_if_its_password_is_there(side: WriteSide) -> None:
    account = side.send("OpenAccount", CARL, by=ADMIN)["id"]
    side.send("CloseAccount", {"account_id": account}, by=ADMIN)
    side.people.replace_password(account, "correct horse")
    assert log_in(side, "carl@example.org", "correct horse")["error"]["code"] == "UNAUTHENTICATED"


def test_an_account_that_was_interrupted_between_secret_and_event_can_be_opened(
    side: WriteSide,
) -> None:
    def crash() -> None:
        raise KeyboardInterrupt

    request = side.request("OpenAccount", CARL, by=ADMIN)
    side.log.before.append(crash)
    with pytest.raises(KeyboardInterrupt):
        side.bus.obey(request)
    assert log_in(side, "carl@example.org", "correct horse")["error"]["code"] == "UNAUTHENTICATED"
    other = side.send("OpenAccount", CARL, by=ADMIN)
    assert log_in(side, "carl@example.org", "correct horse")["account_id"] == other["id"]
    with pytest.raises(InvalidInputError, match="has an account already"):
        side.bus.obey(request)


def test_a_late_repetition_of_opening_does_not_bring_an_old_password_back(side: WriteSide) -> None:
    request = side.request("OpenAccount", CARL, by=ADMIN)
    account = side.bus.obey(request)["id"]
    new = {"account_id": account, "password": "battery staple"}
    side.send("ReplacePassword", new, by=ADMIN)
    side.once.close()
    side.answers.values.clear()
    side.restart()
    assert side.bus.obey(request)["id"] == account
    assert log_in(side, "carl@example.org", "battery staple")["ok"]
    assert not log_in(side, "carl@example.org", "correct horse")["ok"]


def test_a_person_proves_the_own_account_by_the_old_password(side: WriteSide) -> None:
    account = side.send("OpenAccount", CARL, by=ADMIN)["id"]
    token = side.signer.sign(
        account_id=account,
        name="Carl",
        grants=[{"role": "designer", "organisation_id": ORG}],
        token_id="t",
        now=side.clock.now(),
        ttl_s=900,
    )

    def carl(payload: dict[str, str]) -> None:
        request = side.request("ReplacePassword", payload, by="service/gateway", token=token)
        side.bus.obey(request)

    new = {"account_id": account, "password": "battery staple"}
    for wrong in ({}, {"old_password": "wrong"}):
        with pytest.raises(InvalidInputError, match="old password"):
            carl({**new, **wrong})
    assert log_in(side, "carl@example.org", "correct horse")["ok"]
    carl({**new, "old_password": "correct horse"})
    assert log_in(side, "carl@example.org", "battery staple")["ok"]


def test_roles_given_and_taken_show_at_the_next_sign_in(side: WriteSide) -> None:
    account = side.send("OpenAccount", CARL, by=ADMIN)["id"]
    side.send("GrantRole", {"account_id": account, "role": "operator"}, by=ADMIN)
    side.send("RevokeRole", {"account_id": account, "role": "designer"}, by=ADMIN)
    grants = log_in(side, "carl@example.org", "correct horse")["grants"]
    assert grants == [{"role": "operator", "organisation_id": ORG}]


def test_guessing_is_slowed_down_for_known_and_unknown_mails_alike(side: WriteSide) -> None:
    side.send("OpenAccount", CARL, by=ADMIN)
    for mail in ("carl@example.org", "nobody@example.org"):
        codes = [log_in(side, mail, "wrong")["error"]["code"] for _ in range(12)]
        assert codes == ["UNAUTHENTICATED"] * ATTEMPTS_A_MINUTE + ["UNAVAILABLE"] * 2


def test_tries_are_forgotten_after_a_minute_and_by_the_right_password() -> None:
    now = 0.0
    attempts = Attempts(lambda: now)
    for _ in range(ATTEMPTS_A_MINUTE):
        attempts.count("a@b")
    with pytest.raises(UnavailableError):
        attempts.count(" A@B ")
    attempts.clear("a@b")
    attempts.count("a@b")
    for _ in range(ATTEMPTS_A_MINUTE - 1):
        attempts.count("a@b")
    now = 60.0
    attempts.count("a@b")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"mail": "a@b"}', b'"x"'])
def test_a_sign_in_without_mail_or_password_is_refused(side: WriteSide, body: bytes) -> None:
    assert json.loads(side.service.log_in(body))["error"]["code"] == "INVALID_INPUT"


def test_the_first_organisation_and_its_admin_are_made_once(side: WriteSide) -> None:
    admin = FirstAdmin(mail="admin@imewe.local", password="correct horse")
    organisation = found(side.bus, admin)
    events = len(side.log.records)
    side.restart()
    assert found(side.bus, admin) == organisation
    side.restart()
    other = FirstAdmin(mail="other@imewe.local", password="battery staple")
    assert found(side.bus, other) == organisation
    assert len(side.log.records) == events == 4
    grants = log_in(side, "admin@imewe.local", "correct horse")["grants"]
    assert grants == [{"role": "admin", "organisation_id": organisation}]


@pytest.mark.parametrize("saves", [0, 1])
@pytest.mark.parametrize("after", [False, True])
def test_a_first_start_that_was_interrupted_anywhere_is_finished_by_the_next(
    side: WriteSide, saves: int, *, after: bool
) -> None:
    def crash() -> None:
        raise KeyboardInterrupt

    admin = FirstAdmin(mail="admin@imewe.local", password="correct horse")
    moments = side.log.after if after else side.log.before
    moments.extend([lambda: None] * saves)
    moments.append(crash)
    with pytest.raises(KeyboardInterrupt):
        found(side.bus, admin)
    side.restart()
    found(side.bus, admin)
    assert side.topics == [
        "organisation:Founded",
        "organisation:AdminAdmitted",
        "account:Opened",
        "account:RoleGranted",
    ]
    assert log_in(side, "admin@imewe.local", "correct horse")["ok"]


class Board:
    """An organisation and its admins, who take each other's role."""

    def __init__(self, side: WriteSide) -> None:
        self.side = side
        self.place = found(side.bus, FirstAdmin(mail="root@imewe.local", password="correct horse"))
        told = log_in(side, "root@imewe.local", "correct horse")
        self.root = str(told["account_id"])

    def one_more(self, name: str, role: str = "admin") -> str:
        person = {**CARL, "mail": f"{name}@example.org", "role": role}
        return str(self.send("OpenAccount", person)["id"])

    def revoke(self, account: str, role: str = "admin", **more: str) -> dict[str, Any]:
        return self.send("RevokeRole", {"account_id": account, "role": role}, **more)

    def send(self, name: str, payload: dict[str, Any], **more: str) -> dict[str, Any]:
        return self.side.send(name, payload, by=ADMIN, organisation_id=self.place, **more)

    @property
    def admins(self) -> list[str]:
        return list(self.side.load({"id": self.place}).admins)


@pytest.fixture
def board(side: WriteSide) -> Board:
    return Board(side)


def test_the_last_admin_stays_one(board: Board) -> None:
    before = board.side.topics
    with pytest.raises(IllegalTransitionError, match="last admin") as refused:
        board.revoke(board.root)
    assert refused.value.remedy
    with pytest.raises(IllegalTransitionError, match="admin"):
        board.send("CloseAccount", {"account_id": board.root})
    assert board.side.topics == before
    assert log_in(board.side, "root@imewe.local", "correct horse")["ok"]


def test_of_two_admins_one_can_go_in_one_batch_with_the_organisations_count(board: Board) -> None:
    other = board.one_more("bea")
    assert board.admins == [board.root, other]
    answer = board.revoke(board.root, command_id="r1")
    assert board.side.topics[-2:] == ["organisation:AdminDismissed", "account:RoleRevoked"]
    assert (answer["id"], answer["position"]) == (board.root, len(board.side.log.records))
    assert board.revoke(board.root, command_id="r1") == answer
    assert board.admins == [other]
    board.send("CloseAccount", {"account_id": board.root})
    with pytest.raises(IllegalTransitionError):
        board.revoke(other)


def test_a_role_given_twice_counts_once_and_given_back_counts_again(board: Board) -> None:
    other = board.one_more("bea", "designer")
    for _ in range(2):
        board.send("GrantRole", {"account_id": other, "role": "admin"})
    assert board.admins == [board.root, other]
    for _ in range(2):
        board.revoke(other)
    assert board.admins == [board.root]
    board.revoke(other, "designer")
    assert board.side.topics[-1] == "account:RoleRevoked"


def test_two_admins_who_dismiss_each_other_at_once_leave_one(board: Board) -> None:
    other = board.one_more("bea")
    board.side.log.before.append(lambda: board.revoke(board.root))
    with pytest.raises(IllegalTransitionError, match="last admin"):
        board.revoke(other)
    assert board.admins == [other]


def test_a_revocation_repeated_after_a_crash_gives_the_first_answer(board: Board) -> None:
    other = board.one_more("bea")
    answer = board.revoke(other, command_id="r1")
    board.side.once.close()
    board.side.answers.values.clear()
    board.side.restart()
    assert board.revoke(other, command_id="r1") == answer
    assert board.admins == [board.root]


def test_a_failure_inside_is_logged_and_not_told(
    side: WriteSide, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise RuntimeError("the secret plan")

    request = side.request("OpenAccount", CARL, by=ADMIN)
    side.log.before.append(fail)
    told = side.service.command(request.subject, request.headers, request.body)
    assert json.loads(told)["error"]["code"] == "ERROR"
    assert b"secret plan" not in told
    assert "secret plan" in capsys.readouterr().out


def test_a_refusal_travels_as_bytes(side: WriteSide) -> None:
    request = side.request("OpenAccount", {**CARL, "role": "king"}, by=ADMIN)
    told = json.loads(side.service.command(request.subject, request.headers, request.body))
    assert (told["ok"], told["error"]["field"]) == (False, "role")
    refused = json.loads(side.service.command("imewe.command.x", {}, b""))
    assert refused["error"]["code"] == "INVALID_INPUT"


class CountingHasher(PasswordHasher):
    """Counts what is asked of it."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=64, parallelism=1)
        self.verified = 0
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()

    def verify(self, hash: str | bytes, password: str | bytes) -> Any:
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            return super().verify(hash, password)
        finally:
            with self._lock:
                self.verified += 1
                self._now -= 1
