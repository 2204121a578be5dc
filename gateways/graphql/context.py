"""What a resolver may use."""

from datetime import datetime
from typing import TypeAlias

import strawberry

from domain.shared.errors import ImeweError
from domain.shared.scope import Scope
from gateways.graphql.loaders import Loaders
from gateways.graphql.notes import Notes
from gateways.graphql.past import AsOfInput
from gateways.graphql.reads import Reads
from gateways.ports import Gateway
from gateways.security.bearer import Caller
from projections.reading import Moment, When


class Context:
    """One request, or one event of a subscription: who asks, and what the shop is like now.

    ``position``: where a log-like subscription has come to.
    """

    def __init__(
        self, gateway: Gateway, caller: Caller, *, operation_name: str | None = None
    ) -> None:
        self.gateway = gateway
        self.operation_name = operation_name
        self.caller = caller
        self.notes = Notes(gateway.people, caller.token)
        self.position: int | None = None
        self.reads = Reads(gateway.pool, log_end=gateway.log.last_position)
        self._moments: dict[str | int, When] = {}
        self._loaders: dict[When | None, Loaders] = {}

    @property
    def scope(self) -> Scope:
        """What the caller may see. Raises ``UnauthenticatedError``: no query goes without it."""
        return self.caller.scope()

    @property
    def loaders(self) -> Loaders:
        """Of the present."""
        return self._loaders_at(None)

    def look(self, info: "Info", as_of: AsOfInput | None) -> When | None:
        """Let a field of the operation itself, and all below it, show a moment of the past."""
        if as_of is None:
            return None
        when = self._moments[_root(info)] = as_of.when(self.gateway.clock)
        return when

    def loaders_of(self, info: "Info") -> Loaders:
        """Of the moment that a field shows."""
        return self._loaders_at(self._moments.get(_root(info)))

    def when_of(self, info: "Info") -> When | None:
        """What ``look`` was told for the field of the operation that this one lies below."""
        return self._moments.get(_root(info))

    def moment_of(self, info: "Info") -> Moment | None:
        """The moment that a field shows; ``None`` is the present."""
        return self.reads.moment_of(self._moments.get(_root(info)))

    def present_of(self, info: "Info") -> datetime:
        """Up to when that which goes on is counted in a field: its moment, else now."""
        moment = self.moment_of(info)
        return moment.time if moment and moment.time else self.gateway.clock.now()

    def tell_denial(self, error: ImeweError, *, action: str, resource: str = "") -> None:
        """Hand over to the audit trail what was refused here for want of a right."""
        self.gateway.denials.report(error, self.caller, action=action, resource=resource)

    async def release(self) -> None:
        """Give back connections and forget what was read; the next field reads anew."""
        await self.reads.close()
        self._loaders.clear()

    def _loaders_at(self, when: When | None) -> Loaders:
        known = self._loaders.get(when)
        if known is None:
            known = Loaders(self.reads, self.caller.scope, reveal=self._reveal, as_of=when)
            self._loaders[when] = known
        return known

    async def _reveal(self, account_ids: list[str]) -> dict[str, dict[str, str | None]]:
        return await self.gateway.people.reveal(account_ids, token=self.caller.token)


Info: TypeAlias = strawberry.Info[Context, None]


def _root(info: Info) -> str | int:
    """What the answer calls the operation's own field to which a field belongs."""
    path = info.path
    while path.prev is not None:
        path = path.prev
    return path.key
