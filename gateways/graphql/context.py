"""What a resolver may use."""

from typing import TypeAlias

import strawberry

from domain.shared.errors import ImeweError
from domain.shared.scope import Scope
from gateways.graphql.loaders import Loaders
from gateways.graphql.reads import Reads
from gateways.ports import Gateway
from gateways.security.bearer import Caller


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
        self.position: int | None = None
        self.reads = Reads(gateway.pool)
        self.loaders = self._fresh_loaders()

    @property
    def scope(self) -> Scope:
        """What the caller may see. Raises ``UnauthenticatedError``: no query goes without it."""
        return self.caller.scope()

    def tell_denial(self, error: ImeweError, *, action: str, resource: str = "") -> None:
        """Hand over to the audit trail what was refused here for want of a right."""
        self.gateway.denials.report(error, self.caller, action=action, resource=resource)

    async def release(self) -> None:
        """Give back connections and forget what was read; the next field reads anew."""
        await self.reads.close()
        self.loaders = self._fresh_loaders()

    def _fresh_loaders(self) -> Loaders:
        return Loaders(self.reads, self.caller.scope, reveal=self._reveal)

    async def _reveal(self, account_ids: list[str]) -> dict[str, dict[str, str | None]]:
        return await self.gateway.people.reveal(account_ids, token=self.caller.token)


Info: TypeAlias = strawberry.Info[Context, None]
