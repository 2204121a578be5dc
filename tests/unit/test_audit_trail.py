"""The audit trail: what is written at once, what is counted, and what nobody can fill."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest

from commands.auditing.entry import Entry, ip_address
from commands.auditing.recording import opaque_mail, resource_of
from commands.auditing.trail import BURST, REFILL_S, STEPS_BURST, VARIOUS, Trail
from commands.wire import AUDIT_READ, AUDIT_REPORT, AUDIT_STEP, TOKEN
from domain.account.roles import Role
from domain.shared.errors import ForbiddenError, UnauthenticatedError
from tests.fake_ports import FakeAuditLog, FakeClock
from tests.stocked_shop import BRIDGE, StockedShop
from tests.write_side import ORG, OTHER_ORG, WriteSide, account_id

PASSWORD = "correct horse"


class Rig:
    """A trail on a log in memory."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.log = FakeAuditLog(self.clock)
        self.trail = Trail(self.log, clock=self.clock)

    def tried(self, resource: str = "", *, actor: str = "user/1", proved: bool = True) -> None:
        entry = Entry(
            at=self.clock.now(), actor=actor, action="X", outcome="FORBIDDEN", resource=resource
        )
        self.trail.record(entry, proved=proved)

    def next_minute(self) -> None:
        self.clock.advance(minutes=1)
        self.trail.flush()

    @property
    def counts(self) -> list[int]:
        return [written.entry.count for written in self.log.written]

    @property
    def total(self) -> int:
        self.trail.flush(everything=True)
        return sum(self.counts)


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def side() -> Iterator[WriteSide]:
    side = WriteSide()
    yield side
    side.close()


@pytest.fixture
def shop() -> Iterator[StockedShop]:
    shop = StockedShop()
    yield shop
    shop.close()


def test_the_first_is_written_at_once_and_the_rest_of_its_minute_as_a_count(rig: Rig) -> None:
    for _ in range(7):
        rig.tried("job/1")
    assert rig.counts == [1]
    rig.trail.flush()
    assert rig.counts == [1]
    assert rig.log.asked == 1
    rig.next_minute()
    assert rig.counts == [1, 6]
    assert rig.log.written[1].entry.minute == rig.log.written[0].entry.minute


def test_another_actor_action_resource_or_minute_is_another_first(rig: Rig) -> None:
    rig.tried("job/1")
    rig.tried("job/2")
    rig.tried("job/1", actor="user/2")
    rig.next_minute()
    rig.tried("job/1")
    assert rig.counts == [1, 1, 1, 1]


def test_a_minute_that_nothing_follows_leaves_no_count(rig: Rig) -> None:
    rig.tried()
    rig.next_minute()
    rig.next_minute()
    assert rig.counts == [1]


def test_counting_goes_on_while_the_next_minute_is_busy_already(rig: Rig) -> None:
    for _ in range(3):
        rig.tried()
    rig.clock.advance(minutes=1)
    for _ in range(3):
        rig.tried()
    rig.trail.flush()
    assert rig.counts == [1, 1, 2]
    assert rig.total == 6


def test_strangers_can_neither_fill_the_trail_nor_hide_in_it(rig: Rig) -> None:
    tries = 0
    for _ in range(24 * 60):
        for _ in range(10):
            rig.tried(f"mail/{uuid4()}", actor="nobody", proved=False)
            tries += 1
        rig.next_minute()
    assert len(rig.log.written) <= BURST + 24 * 3600 / REFILL_S + 1
    assert rig.total == tries
    assert rig.log.written[-1].entry.action == VARIOUS


def test_a_flood_by_one_leaves_room_for_all_others(rig: Rig) -> None:
    for number in range(500):
        rig.tried(f"job/{number}", actor="bridge/loose")
        rig.tried(f"mail/{number}", actor="nobody", proved=False)
    rig.tried("job/1", actor="user/ada")
    assert rig.log.written[-1].entry.actor == "user/ada"
    assert len(rig.log.written) == 2 * BURST + 1


def test_two_copies_write_one_first_line_and_count_the_rest(rig: Rig) -> None:
    other = Rig()
    other.clock, other.log = rig.clock, rig.log
    other.trail = Trail(rig.log, clock=rig.clock)
    for _ in range(3):
        rig.tried()
        other.tried()
    assert rig.counts == [1]
    rig.trail.flush(everything=True)
    other.trail.flush(everything=True)
    assert sorted(rig.counts) == [1, 2, 3]


def test_what_cannot_be_written_is_written_when_the_log_is_back(rig: Rig) -> None:
    rig.log.away = True
    rig.tried("job/1")
    rig.tried("job/1")
    rig.next_minute()
    rig.log.away = False
    rig.next_minute()
    assert [(w.entry.resource, w.entry.count) for w in rig.log.written] == [("job/1", 2)]


def test_a_quiet_actor_is_forgotten_only_with_a_full_purse(rig: Rig) -> None:
    for number in range(BURST):
        rig.tried(f"job/{number}")
    rig.next_minute()
    rig.tried("job/more")
    assert len(rig.log.written) == BURST
    rig.clock.advance(days=1)
    rig.trail.flush()
    rig.tried("job/more")
    assert rig.log.written[-1].entry.resource == "job/more"


def test_a_login_is_in_the_trail(side: WriteSide) -> None:
    opened = open_account(side)
    assert log_in(side, PASSWORD, address="2001:DB8::1")["ok"]
    (entry,) = side.entries
    assert (entry.actor, entry.action, entry.outcome) == (f"user/{opened}", "login", "OK")
    assert (entry.address, entry.organisation_id) == ("2001:db8::1", ORG)


def test_a_failed_login_names_the_account_and_nobody_as_actor(side: WriteSide) -> None:
    opened = open_account(side)
    log_in(side, "wrong horse", address="no address")
    (entry,) = side.entries
    assert (entry.actor, entry.resource) == ("nobody", f"account/{opened}")
    assert (entry.outcome, entry.organisation_id) == ("UNAUTHENTICATED", ORG)
    assert entry.address == ""


def test_a_mail_address_that_nobody_has_stays_hidden(side: WriteSide) -> None:
    log_in(side, PASSWORD, mail="Eve@Example.org ")
    (entry,) = side.entries
    assert b"eve" not in entry.body().lower()
    at, key = entry.at, b"m" * 32
    assert entry.resource == opaque_mail("eve@example.org", key, at=at)
    assert entry.resource != opaque_mail("eve@example.org", b"n" * 32, at=at)
    assert entry.resource != opaque_mail("eve@example.org", key, at=at + timedelta(days=1))


def test_what_the_limit_of_tries_refuses_is_not_recorded(side: WriteSide) -> None:
    for _ in range(30):
        log_in(side, "wrong horse")
    side.trail.flush(everything=True)
    assert sum(entry.count for entry in side.entries) == 10


def test_a_denied_command_is_in_the_trail_with_what_it_was_about(shop: StockedShop) -> None:
    told = {"address": "10.0.0.7", "correlation": "story"}
    with pytest.raises(ForbiddenError):
        shop.send("CancelJob", {"job_id": shop.job_id}, by="user/eve/designer", **told)
    entry = shop.entries[-1]
    assert (entry.actor, entry.action) == (f"user/{account_id('eve')}", "CancelJob")
    assert (entry.resource, entry.organisation_id) == (f"job/{shop.job_id}", ORG)
    assert (entry.address, entry.correlation_id) == ("10.0.0.7", "story")
    assert (entry.outcome, entry.reason) == ("FORBIDDEN", "you may not cancel job here")


def test_a_bridge_that_oversteps_is_named_and_gives_no_address(shop: StockedShop) -> None:
    with pytest.raises(ForbiddenError):
        shop.send("CancelJob", {"job_id": shop.job_id}, by=BRIDGE, address="10.0.0.7")
    assert (shop.entries[-1].actor, shop.entries[-1].address) == (BRIDGE, "")


def test_a_forged_token_is_nobodys(side: WriteSide) -> None:
    request = side.request("Whatever", {}, by="service/gateway", token="forged")
    with pytest.raises(UnauthenticatedError):
        side.bus.obey(request)
    (entry,) = side.entries
    assert (entry.actor, entry.action) == ("nobody", "an unknown command")


def test_a_denial_elsewhere_is_told_where_the_person_belongs(side: WriteSide) -> None:
    token = side.token("eve", Role.ADMIN)
    request = side.request(
        "CancelJob", {}, by="service/gateway", token=token, organisation_id=OTHER_ORG
    )
    with pytest.raises(ForbiddenError):
        side.bus.obey(request)
    assert side.entries[-1].organisation_id == ORG


def test_what_is_allowed_or_merely_wrong_leaves_no_entry(shop: StockedShop) -> None:
    shop.send("SubmitJob", shop.payloads()["SubmitJob"], by="user/ada/designer")
    with pytest.raises(Exception, match="there is no job"):
        shop.send("CancelJob", {"job_id": str(uuid4())}, by="user/ada/admin")
    assert shop.entries == []


def test_a_refusal_stays_a_refusal_while_the_trail_is_away(shop: StockedShop) -> None:
    shop.audit_log.away = True
    with pytest.raises(ForbiddenError):
        shop.send("CancelJob", {"job_id": shop.job_id}, by="user/eve/designer")
    assert log_in(shop, "wrong horse")["error"]["code"] == "UNAUTHENTICATED"


def test_the_gateways_denials_are_recorded_for_whom_the_token_proves(side: WriteSide) -> None:
    told = {"action": "EmergencyStop", "outcome": "FORBIDDEN", "count": 3, "address": "::1"}
    headers = {TOKEN: side.token("eve", Role.DESIGNER)}
    assert said(side.service.audit(AUDIT_REPORT, headers, orjson.dumps(told)))["ok"]
    (entry,) = side.entries
    assert (entry.actor, entry.count) == (f"user/{account_id('eve')}", 3)
    assert (entry.organisation_id, entry.address) == (ORG, "::1")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"action":"x","outcome":"y","count":"z"}'])
def test_a_report_that_says_nothing_is_refused(side: WriteSide, body: bytes) -> None:
    answer = said(side.service.audit(AUDIT_REPORT, {}, body))
    assert answer["error"]["code"] == "INVALID_INPUT"
    assert side.entries == []


@pytest.mark.parametrize("role", [Role.ADMIN, Role.AUDITOR])
def test_admins_and_auditors_read_their_organisations_trail(side: WriteSide, role: Role) -> None:
    _three_organisations(side)
    page = read(side, role)
    assert [entry["organisation_id"] for entry in page["entries"]] == ["", ORG]
    assert page["has_more"] is False


@pytest.mark.parametrize("role", [Role.DESIGNER, Role.VENDOR, Role.OPERATOR, Role.VIEWER])
def test_nobody_else_reads_it(side: WriteSide, role: Role) -> None:
    assert read(side, role)["error"]["code"] == "FORBIDDEN"


def test_without_a_token_nobody_reads_it(side: WriteSide) -> None:
    answer = said(side.service.audit(AUDIT_READ, {}, b"{}"))
    assert answer["error"]["code"] == "UNAUTHENTICATED"


def test_pages_join_without_gap_or_repetition(side: WriteSide) -> None:
    for number in range(30):
        side.clock.advance(minutes=10)
        _recorded(side, ORG if number % 3 else OTHER_ORG, f"job/{number}")
    seen: list[str] = []
    before, more = None, True
    while more:
        page = read(side, Role.AUDITOR, first=7, before=before)
        seen += [entry["resource"] for entry in page["entries"]]
        before, more = page["oldest"], page["has_more"]
    assert seen == [f"job/{number}" for number in range(29, -1, -1) if number % 3]


@pytest.mark.parametrize("asked", [{"first": 0}, {"first": 101}, {"first": "x"}, {"before": "x"}])
def test_a_page_of_no_sense_is_refused(side: WriteSide, asked: dict[str, object]) -> None:
    headers = {TOKEN: side.token("aud", Role.AUDITOR)}
    answer = said(side.service.audit(AUDIT_READ, headers, orjson.dumps(asked)))
    assert answer["error"]["code"] == "INVALID_INPUT"


def test_only_ids_are_taken_from_a_commands_body() -> None:
    some = str(uuid4())
    assert resource_of(orjson.dumps({"node_id": some, "password": "x"})) == f"node/{some}"
    for body in (b"", b"[]", b'{"job_id": 3}', b'{"job_id": "../x"}', b'{"mail": "a@b"}'):
        assert resource_of(body) == ""


def test_an_address_is_one_or_nothing() -> None:
    assert ip_address("127.0.0.1") == "127.0.0.1"
    assert ip_address("127.0.0.1\nImewe-Org: x") == ""


def open_account(side: WriteSide) -> str:
    payload = {"mail": "ada@example.org", "name": "Ada", "password": PASSWORD, "role": "designer"}
    return str(side.send("OpenAccount", payload, by="user/root/admin")["id"])


def log_in(
    side: WriteSide, password: str, *, mail: str = "ada@example.org", address: str = ""
) -> Any:
    told = {"mail": mail, "password": password, "address": address}
    return said(side.service.log_in(orjson.dumps(told)))


def said(answer: bytes) -> Any:
    return orjson.loads(answer)


def read(side: WriteSide, role: Role, **asked: object) -> Any:
    headers = {TOKEN: side.token("reader", role)}
    return said(side.service.audit(AUDIT_READ, headers, orjson.dumps(asked)))


def _recorded(side: WriteSide, place: str, resource: str) -> None:
    entry = Entry(
        at=side.clock.now(),
        actor="user/1",
        action="X",
        outcome="FORBIDDEN",
        resource=resource,
        organisation_id=place,
    )
    side.trail.record(entry, proved=True)


def _three_organisations(side: WriteSide) -> None:
    for place in (ORG, OTHER_ORG, ""):
        _recorded(side, place, f"job/{place}")


def steps(side: WriteSide, told: Mapping[str, object], *, of: str = "projections") -> Any:
    headers = {TOKEN: side.token("ada", Role.ADMIN)}
    return said(side.service.audit(f"{AUDIT_STEP}.{of}", headers, orjson.dumps(told)))


SWITCH = {"action": "projections.switch", "outcome": "done", "resource": "projection/jobs"}


def test_every_step_of_a_service_has_a_line_of_its_own(side: WriteSide) -> None:
    for outcome in ("begun", "done", "done"):
        assert steps(side, {**SWITCH, "outcome": outcome, "reason": "jobs_v2"})["ok"]
    assert [entry.outcome for entry in side.entries] == ["begun", "done", "done"]
    entry = side.entries[-1]
    assert (entry.actor, entry.action) == (f"user/{account_id('ada')}", "projections.switch")
    assert (entry.resource, entry.reason) == ("projection/jobs", "jobs_v2")
    assert (entry.organisation_id, entry.count) == (ORG, 1)


def test_a_step_that_nobody_asked_for_is_the_services_own(side: WriteSide) -> None:
    assert said(side.service.audit(f"{AUDIT_STEP}.projections", {}, orjson.dumps(SWITCH)))["ok"]
    assert side.entries[-1].actor == "service/projections"


@pytest.mark.parametrize(
    "told",
    [{}, {**SWITCH, "action": "notary.rotate"}, {**SWITCH, "outcome": "FORBIDDEN"}],
)
def test_a_service_tells_of_its_own_steps_only(side: WriteSide, told: dict[str, object]) -> None:
    assert steps(side, told)["error"]["code"] == "INVALID_INPUT"
    assert side.entries == []


def test_a_step_that_cannot_be_written_is_refused(side: WriteSide) -> None:
    side.audit_log.away = True
    assert steps(side, SWITCH)["error"]["code"] == "UNAVAILABLE"


def test_a_service_gone_wild_fills_nothing(side: WriteSide) -> None:
    answers = [steps(side, SWITCH)["ok"] for _ in range(STEPS_BURST + 5)]
    assert answers.count(True) == len(side.entries) == STEPS_BURST
    assert steps(side, {**SWITCH, "action": "notary.rotate"}, of="notary")["ok"]
