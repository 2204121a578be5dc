"""What admins and auditors ask a service directly, between real users of the nats-server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from commands.authorisation import MANAGE_PROJECTIONS
from commands.principal import Principal
from domain.shared.errors import (
    ForbiddenError,
    ImeweError,
    InvalidInputError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from ops.clock import SystemClock
from ops.messaging.administration import AdministrationDesk, NatsAdministration
from ops.messaging.connection import connect
from ops.messaging.server import EmbeddedNats
from ops.settings import Settings
from tests.gateway_tools import Bench


async def echo(principal: Principal, payload: dict[str, Any]) -> dict[str, Any]:
    if payload.get("missing"):
        raise NotFoundError("there is no such projection", field="name")
    if payload.get("broken"):
        raise ZeroDivisionError
    return {"who": principal.id, "told": payload}


@pytest.fixture
def people() -> Bench:
    """Signs tokens that the desk below knows; real time, as the desk's."""
    bench = Bench()
    bench.clock.present = SystemClock().now()
    return bench


@pytest.fixture
async def gateway(
    settings: Settings, nats_server: EmbeddedNats, people: Bench
) -> AsyncIterator[NatsAdministration]:
    """The gateway's side of a projections service that echoes."""
    serving = await connect(settings, "projections")
    asking = await connect(settings, "gateway")
    desk = AdministrationDesk(
        serving,
        "projections",
        {"echo": (MANAGE_PROJECTIONS, echo)},
        verifier=people.gateway.verifier,
    )
    await desk.open()
    await serving.flush()
    yield NatsAdministration(asking, patience_s=30)
    await desk.close()
    await asking.close()
    await serving.close()


async def test_an_admin_is_answered(gateway: NatsAdministration, people: Bench) -> None:
    answer = await gateway.ask("projections", "echo", {"a": 1}, token=people.token("admin"))
    assert answer["told"] == {"a": 1}
    assert answer["who"]


async def test_who_has_no_right_is_refused_by_the_service_itself(
    gateway: NatsAdministration, people: Bench
) -> None:
    with pytest.raises(ForbiddenError, match="manage projections"):
        await gateway.ask("projections", "echo", {}, token=people.token("operator"))
    with pytest.raises(UnauthenticatedError):
        await gateway.ask("projections", "echo", {}, token="")
    with pytest.raises(UnauthenticatedError):
        await gateway.ask("projections", "echo", {}, token=Bench().token("admin"))


async def test_a_refusal_keeps_its_type_and_a_fault_tells_nothing(
    gateway: NatsAdministration, people: Bench
) -> None:
    token = people.token("admin")
    with pytest.raises(NotFoundError, match="no such projection"):
        await gateway.ask("projections", "echo", {"missing": True}, token=token)
    with pytest.raises(ImeweError, match="wrong on our side"):
        await gateway.ask("projections", "echo", {"broken": True}, token=token)
    with pytest.raises(InvalidInputError, match="knows no dance"):
        await gateway.ask("projections", "dance", {}, token=token)


async def test_a_service_that_is_away_is_told_as_such(
    gateway: NatsAdministration, people: Bench
) -> None:
    with pytest.raises(UnavailableError, match="does not run"):
        await gateway.ask("nobody", "echo", {}, token=people.token("admin"))
