"""Who may command what: the whole table is walked, every command for everybody."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from commands.authorisation import (
    COMMANDS,
    EMERGENCY_STOP,
    MATRIX,
    NOT_MESSAGES,
    rules_for,
)
from commands.handling import HANDLERS
from commands.message import MESSAGES
from commands.principal import Principal
from domain.account.roles import HUMAN, Role
from domain.shared.errors import (
    ForbiddenError,
    ImeweError,
    InvalidInputError,
    NotFoundError,
    UnauthenticatedError,
)
from domain.shared.scope import Grant
from tests.stocked_shop import (
    ADMIN,
    BRIDGE,
    DESIGNER,
    OPERATOR,
    PROCESSES,
    SUPERVISOR,
    VENDOR,
    StockedShop,
)
from tests.write_side import ORG, OTHER_ORG, PROFILE, account_id

STAFF = (
    "ClearBed PauseNode ResumeNode ClearEmergencyStop BeginMaintenance EndMaintenance"
    " ReceiveMaterial CountMaterial CorrectMaterial SendTransfer ReceiveTransfer PassPiece"
    " ScrapPiece CorrectCount ReassignConsumption CorrectFigures CorrectDowntime WithdrawDowntime"
)
OWN_PASSWORD = "ReplacePassword"
MAY = {
    ADMIN: f"{STAFF} {OWN_PASSWORD} RenameOrganisation OpenAccount GrantRole RevokeRole"
    " CloseAccount EraseSubject SubmitJob ReprioritizeJob CancelJob RegisterNode ConfigureNode"
    " DecommissionNode"
    " CutOffPeriod ClosePeriod",
    DESIGNER: f"{OWN_PASSWORD} SubmitJob ReprioritizeJob CancelJob PassPiece ScrapPiece",
    VENDOR: "RegisterNode ConfigureNode DecommissionNode ReceiveMaterial",
    OPERATOR: STAFF,
    "user/vic/viewer": "",
    "user/aud/auditor": "",
    PROCESSES: "FollowPart OrderPart ValidatePart RejectPart SchedulePart QueuePiece ReturnPiece"
    " MissMachine StartPiece PausePiece MakePiece PassPiece ScrapPiece CancelPiece CancelPart"
    " FailPart PlanBuild ReserveBuild SendBuild RequestBuildCancel InspectBuild FailBuild"
    " ConfirmCancelled ReserveNode ReleaseNode BeginExecution EndExecution ReserveMaterial"
    " ReleaseMaterial ConsumeMaterial WasteMaterial RequestDispatch ChooseNode RecordNodeReserved"
    " RecordMaterialReserved RecordSent RecordStarted RevertDispatch FinishRevert CloseDispatch",
    BRIDGE: "AcceptBuild StartBuild ReportProgress ReportPaused ReportResumed FinishBuild FailBuild"
    " ConfirmCancelled ReportOutcomeUnknown ConnectMachine DisconnectMachine ObserveNode"
    " RecordEmergencyStop ClearBed",
    SUPERVISOR: "FoundOrganisation OpenAccount ReplacePassword",
    COMMANDS: "ConfirmErasure",
    "service/projections": "",
}
"""Written by hand beside the table, so that a slip in one is seen in the other."""
BEGINNINGS = {"OpenAccount", "SubmitJob", "RegisterNode", "CutOffPeriod"}
LAWS = sorted(set(MATRIX) - NOT_MESSAGES)


@pytest.fixture
def shop() -> Iterator[StockedShop]:
    shop = StockedShop()
    yield shop
    shop.close()


def test_every_command_has_a_handler_and_a_row_in_the_table() -> None:
    assert set(MESSAGES) == set(HANDLERS) == set(LAWS)


def test_the_table_names_only_those_who_exist() -> None:
    titles = {str(title) for row in MATRIX.values() for title in row}
    assert titles == {*HUMAN, "bridge", COMMANDS, PROCESSES, SUPERVISOR}


@pytest.mark.parametrize("who", MAY)
def test_everybody_may_what_the_table_says_and_nothing_else(shop: StockedShop, who: str) -> None:
    assert set(shop.payloads()) == set(LAWS)
    allowed = set()
    for name, payload in shop.payloads().items():
        try:
            shop.send(name, payload, by=who)
        except ForbiddenError:
            continue
        except ImeweError:
            pass  # it may; this shop's state does not allow it
        allowed.add(name)
    assert allowed == set(MAY[who].split())


@pytest.mark.parametrize("role", sorted(HUMAN))
def test_an_emergency_stop_is_for_those_who_stand_beside_the_machine(role: Role) -> None:
    person = Principal(kind="user", id="p", grants=(Grant(role=role, organisation_id=ORG),))
    if role in {Role.ADMIN, Role.OPERATOR}:
        assert rules_for(EMERGENCY_STOP, person, ORG)
    else:
        with pytest.raises(ForbiddenError):
            rules_for(EMERGENCY_STOP, person, ORG)


def test_what_is_not_in_the_table_is_denied_even_to_an_admin(
    shop: StockedShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(MATRIX, "CancelJob")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="no row"):
        shop.send("CancelJob", {"job_id": shop.job_id}, by=ADMIN)


def test_an_unknown_command_is_refused(shop: StockedShop) -> None:
    with pytest.raises(InvalidInputError, match="does not exist"):
        shop.send("DropDatabase", {}, by=ADMIN)


@pytest.mark.parametrize("name", ["CancelJob", "ReprioritizeJob", "PassPiece", "ScrapPiece"])
def test_a_designer_leaves_other_designers_jobs_alone(shop: StockedShop, name: str) -> None:
    with pytest.raises(ForbiddenError):
        shop.send(name, shop.payloads()[name], by="user/eve/designer")


@pytest.mark.parametrize("name", ["ConfigureNode", "DecommissionNode", "ReceiveMaterial"])
def test_a_vendor_leaves_other_vendors_nodes_alone(shop: StockedShop, name: str) -> None:
    with pytest.raises(ForbiddenError):
        shop.send(name, shop.payloads()[name], by="user/eve/vendor")


def test_a_vendor_stocks_own_nodes(shop: StockedShop) -> None:
    assert shop.send("ReceiveMaterial", shop.payloads()["ReceiveMaterial"], by=VENDOR)


@pytest.mark.parametrize("name", MAY[BRIDGE].split())
def test_a_bridge_speaks_only_for_the_machines_it_drives(shop: StockedShop, name: str) -> None:
    with pytest.raises(ForbiddenError):
        shop.send(name, shop.payloads()[name], by="bridge/another")


def test_a_bridge_clears_no_real_bed(shop: StockedShop) -> None:
    real = shop.registered(virtual=False)
    with pytest.raises(ForbiddenError):
        shop.send("ClearBed", {"node_id": real}, by=BRIDGE)
    shop.send("ClearBed", {"node_id": shop.node_id}, by=BRIDGE)
    assert b"virtual attendant" in shop.last().body


def test_a_person_replaces_the_own_password_only(shop: StockedShop) -> None:
    theirs = {"account_id": shop.account_id, "password": "battery staple"}
    with pytest.raises(ForbiddenError):
        shop.send("ReplacePassword", theirs, by="user/vic/viewer")
    assert shop.send("ReplacePassword", theirs, by=ADMIN)


def test_an_admin_renames_the_own_organisation_only(shop: StockedShop) -> None:
    with pytest.raises(ForbiddenError):
        theirs = {"organisation_id": shop.organisation_id, "name": "Mine"}
        shop.send("RenameOrganisation", theirs, by=ADMIN)


@pytest.mark.parametrize("name", sorted({*MAY[ADMIN].split()} - BEGINNINGS))
def test_an_admin_of_another_organisation_finds_nothing_here(shop: StockedShop, name: str) -> None:
    with pytest.raises((NotFoundError, ForbiddenError)) as refused:
        shop.send(name, shop.payloads()[name], by="user/mal/admin", organisation_id=OTHER_ORG)
    assert refused.type is (ForbiddenError if name == "RenameOrganisation" else NotFoundError)


def test_a_person_without_a_role_in_an_organisation_cannot_name_it(shop: StockedShop) -> None:
    request = shop.request("CancelJob", {"job_id": shop.job_id}, by=ADMIN)
    for place in (OTHER_ORG, "elsewhere"):
        changed = {"organisation_id": place}
        with pytest.raises(ForbiddenError, match="no role in this organisation"):
            shop.bus.obey(replace(request, **changed))


def test_a_role_is_held_in_one_organisation_and_not_in_the_next(shop: StockedShop) -> None:
    both = shop.signer.sign(
        account_id=account_id("mal"),
        name="mal",
        grants=[
            {"role": "viewer", "organisation_id": ORG},
            {"role": "admin", "organisation_id": OTHER_ORG},
        ],
        token_id="t",
        now=shop.clock.now(),
        ttl_s=60,
    )
    request = shop.request("ConfigureNode", {"node_id": shop.node_id, "profile": PROFILE}, by=ADMIN)
    with pytest.raises(ForbiddenError):
        shop.bus.obey(replace(request, token=both))


def test_only_the_gateway_may_bring_a_persons_token(shop: StockedShop) -> None:
    request = shop.request("CancelJob", {"job_id": shop.job_id}, by=ADMIN)
    for kind, sender in (("bridge", "local"), ("service", "processes"), ("user", "gateway")):
        changed = {"sender_kind": kind, "sender_id": sender}
        with pytest.raises(ForbiddenError, match="only the gateway"):
            shop.bus.obey(replace(request, **changed))


def test_the_gateway_itself_is_nobody(shop: StockedShop) -> None:
    with pytest.raises(UnauthenticatedError, match="token"):
        shop.send("CancelJob", {"job_id": shop.job_id}, by="service/gateway")
