"""What a principal may see: made from its grants, asked by every query.

This is the one place that says so; `commands/authorisation.py` says what a principal may do. A
designer reads every order of the organisation and changes only the own ones.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from domain.account.roles import Role

READERS = frozenset({Role.ADMIN, Role.DESIGNER, Role.OPERATOR, Role.VIEWER, Role.AUDITOR})
"""Roles that read an organisation's orders, machines, ledgers, figures and the events of these,
whoever owns them. A vendor reads own machines, the lots at them and the jobs built on them."""
AUDITORS = frozenset({Role.ADMIN, Role.AUDITOR})
"""Roles that also read about its people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A role in an organisation."""

    role: Role
    organisation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Who asks. The first grant's organisation is the one meant when none is named."""

    account_id: str
    grants: tuple[Grant, ...]

    @property
    def organisations(self) -> list[str]:
        """Every organisation with a grant, in the order of the grants."""
        return list(dict.fromkeys(grant.organisation_id for grant in self.grants))

    def roles_in(self, organisation_id: str) -> frozenset[Role]:
        """The roles held there."""
        return frozenset(g.role for g in self.grants if g.organisation_id == organisation_id)

    @property
    def readable(self) -> list[str]:
        """Organisations whose orders, machines, ledgers and figures may all be read."""
        return self._with(READERS)

    @property
    def audited(self) -> list[str]:
        """Organisations whose people may be read about, too."""
        return self._with(AUDITORS)

    @property
    def vended(self) -> list[str]:
        """Organisations in which this account's own machines may be read, and what is on them."""
        return self._with(frozenset({Role.VENDOR}))

    def _with(self, roles: frozenset[Role]) -> list[str]:
        return [place for place in self.organisations if self.roles_in(place) & roles]


def grants_from(listed: Iterable[object]) -> tuple[Grant, ...]:
    """Read grants as tokens carry them. Raises ``ValueError`` for what is none."""
    grants = []
    for item in listed:
        if not isinstance(item, dict) or not isinstance(item.get("organisation_id"), str):
            raise ValueError("a grant needs role and organisation_id")
        grants.append(Grant(role=Role(item["role"]), organisation_id=item["organisation_id"]))
    return tuple(grants)
