"""Who sends a command: a person, a service or a bridge."""

from dataclasses import dataclass

from domain.shared.errors import ForbiddenError
from domain.shared.recorded import Actor
from domain.shared.scope import Grant, Scope

USER = "user"
SERVICE = "service"
BRIDGE = "bridge"
GATEWAY = "gateway"
"""The service that may act for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """``kind`` is ``user`` (proved by a token), ``service`` or ``bridge`` (by the connection)."""

    kind: str
    id: str
    name: str = ""
    grants: tuple[Grant, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}/{self.id}"

    @property
    def actor(self) -> Actor:
        """As the envelope names it."""
        return Actor(kind=self.kind, id=self.id)

    @property
    def scope(self) -> Scope:
        """What this principal may see."""
        return Scope(account_id=self.id, grants=self.grants)

    def place(self, wanted: str) -> str:
        """The organisation a command is about.

        Services and bridges are believed; a person needs a grant there, and means the first
        grant's organisation when naming none. Raises ``ForbiddenError``.
        """
        if self.kind != USER:
            return wanted
        places = self.scope.organisations
        if not places or (wanted and wanted not in places):
            raise ForbiddenError("you hold no role in this organisation")
        return wanted or places[0]
