"""One command from the outside to the log, and its answer back."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eventsourcing.persistence import IntegrityError

from commands.auditing.recording import denied_command
from commands.auditing.trail import Trail
from commands.authorisation import Rule, allow, rules_for
from commands.handling import HANDLERS, Handling
from commands.idempotency import Once
from commands.message import parse
from commands.principal import BRIDGE, GATEWAY, SERVICE, USER, Principal
from commands.tokens import Verifier
from commands.turns import Turn, Turns
from commands.wire import Request
from commands.world import AlreadyObeyedError, Ports, World
from domain.ports import Clock
from domain.shared.aggregate import PRESENT, ImeweAggregate
from domain.shared.errors import ConflictError, ForbiddenError, UnauthenticatedError
from domain.shared.identifiers import command_name
from domain.shared.recorded import Envelope

ATTEMPTS = 4
"""One, and three more when somebody else changed the object meanwhile."""
SPREAD_S = 0.004
"""Two that met once shall not meet again at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """A request whose sender is known, may ask it, and asks it in proper form."""

    request: Request
    principal: Principal
    organisation_id: str
    rules: list[Rule]
    command: Any

    @property
    def name(self) -> str:
        return command_name(self.organisation_id, str(self.principal), self.request.command_id)


class Bus:
    """Authenticates, authorises, decides, records, answers. Safe to share by threads.

    ``demand_room`` raises ``StorageFullError`` while the log has no space: a full server does not
    always say so.
    """

    def __init__(
        self,
        ports: Ports,
        *,
        verifier: Verifier,
        once: Once,
        clock: Clock,
        demand_room: Callable[[], None],
        trail: Trail,
    ) -> None:
        self._ports = ports
        self._demand_room = demand_room
        self._verifier = verifier
        self._once = once
        self._clock = clock
        self._trail = trail
        self._turns = Turns()

    def obey(self, request: Request) -> dict[str, Any]:
        """The answer: ``position``, ``id`` and what the command gives beside.

        Raises the typed errors; ``UnavailableError`` may mean that it was recorded all the same,
        and the same command id may be sent again. A want of rights is in the audit trail before
        it is raised.
        """
        principal = _sender(request)
        try:
            principal = self._principal(request)
            return self._obey(request, principal)
        except (ForbiddenError, UnauthenticatedError) as error:
            entry = denied_command(request, principal, error, at=self._clock.now())
            self._trail.record(entry, proved=principal is not None)
            raise

    def _obey(self, request: Request, principal: Principal) -> dict[str, Any]:
        organisation_id = principal.place(request.organisation_id)
        order = _Order(
            request=request,
            principal=principal,
            organisation_id=organisation_id,
            rules=rules_for(request.name, principal, organisation_id),
            command=parse(request.name, request.body),
        )
        return self._once.run(
            order.name,
            b"%b %b" % (request.name.encode(), request.body),
            lambda: self._settle(order),
            owner=principal.id if principal.kind == USER else "",
        )

    def _settle(self, order: _Order) -> dict[str, Any]:
        """Decide on the present state; when somebody was quicker, decide again on the new one."""
        self._demand_room()
        now = self._clock.now()
        for attempt in range(ATTEMPTS):
            try:
                with self._turns.turn() as turn, _present(now):
                    return self._attempt(order, self._world(order, turn, now, attempt))
            except IntegrityError:
                time.sleep(random.uniform(0, SPREAD_S * (attempt + 1)))
        raise ConflictError(
            "others keep changing this object", remedy="look at it again and try again"
        )

    def _world(self, order: _Order, turn: Turn, now: datetime, attempt: int) -> World:
        return World(
            ports=self._ports,
            principal=order.principal,
            organisation_id=order.organisation_id,
            command_name=order.name,
            now=now,
            turn=turn,
            careful=attempt > 0,
        )

    def _attempt(self, order: _Order, world: World) -> dict[str, Any]:
        handling = HANDLERS[order.request.name]
        try:
            allow(order.rules, order.command, world)
            aggregate = handling.decide(order.command, world)
        except AlreadyObeyedError as already:
            return self._again(handling, already.aggregate, world)
        if not aggregate.pending_events:
            return self._answer(handling, aggregate)
        envelope = _envelope(order.request, world, aggregate)
        position = self._ports.application.record(*world.beside, aggregate, envelope=envelope)
        return _told(handling, aggregate, position)

    def _again(self, handling: Handling, aggregate: ImeweAggregate, world: World) -> dict[str, Any]:
        """The answer that was given when the command was obeyed, made from the log."""
        version = aggregate.commands.get(world.command_name, aggregate.version)
        if version != aggregate.version:
            aggregate = self._ports.application.load(aggregate.id, version)
        return self._answer(handling, aggregate)

    def _answer(self, handling: Handling, aggregate: ImeweAggregate) -> dict[str, Any]:
        position = self._ports.application.position_of(aggregate.id, aggregate.version)
        return _told(handling, aggregate, position)

    def _principal(self, request: Request) -> Principal:
        """A person when a token says so, else the one whom the connection proves."""
        if request.token:
            if (request.sender_kind, request.sender_id) != (SERVICE, GATEWAY):
                raise ForbiddenError("only the gateway acts for people")
            return self._verifier.verify(request.token)
        sender = _sender(request)
        if sender is None:
            raise UnauthenticatedError("a token is needed", remedy="log in")
        return sender


def _sender(request: Request) -> Principal | None:
    """Whom the connection proves; behind the gateway stands somebody else."""
    if request.sender_kind not in {SERVICE, BRIDGE}:
        return None
    if (request.sender_kind, request.sender_id) == (SERVICE, GATEWAY):
        return None
    return Principal(kind=request.sender_kind, id=request.sender_id)


def _told(handling: Handling, aggregate: ImeweAggregate, position: int) -> dict[str, Any]:
    return {"position": position, "id": str(aggregate.id), **handling.tell(aggregate)}


def _envelope(request: Request, world: World, aggregate: ImeweAggregate) -> Envelope:
    return Envelope(
        command_id=world.command_name,
        causation_id=request.causation or world.command_name,
        correlation_id=request.correlation or world.command_name,
        organisation_id=aggregate.organisation_id,
        site_id="",
        actor=world.principal.actor,
        occurred_at=world.now,
        traceparent=request.traceparent,
    )


@contextmanager
def _present(now: datetime) -> Iterator[None]:
    """Events made inside say that they happened ``now``."""
    before = PRESENT.set(now)
    try:
        yield
    finally:
        PRESENT.reset(before)
