"""What a principal may see: made from its grants, asked by every query."""

from collections.abc import Iterable
from dataclasses import dataclass

from domain.account.roles import Role

ALL_SEEING = frozenset({Role.ADMIN, Role.OPERATOR, Role.VIEWER, Role.AUDITOR})
"""Roles that see everything in their organisation. A designer sees all machines but own jobs
only; a vendor sees own machines and what runs on them."""


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

    def sees_all(self, organisation_id: str) -> bool:
        """Everything of that organisation, whoever owns it."""
        return bool(self.roles_in(organisation_id) & ALL_SEEING)

    def sees_own_jobs(self, organisation_id: str) -> bool:
        """The jobs this account owns."""
        return Role.DESIGNER in self.roles_in(organisation_id)

    def sees_own_nodes(self, organisation_id: str) -> bool:
        """The machines this account owns, and the jobs on them."""
        return Role.VENDOR in self.roles_in(organisation_id)

    def sees_nodes(self, organisation_id: str) -> bool:
        """Every machine: a designer has to know what can make a part."""
        return self.sees_all(organisation_id) or self.sees_own_jobs(organisation_id)

    def organisations_seen_whole(self) -> list[str]:
        """Organisations of which ``sees_all`` holds; a query's parameter."""
        return [place for place in self.organisations if self.sees_all(place)]


def grants_from(listed: Iterable[object]) -> tuple[Grant, ...]:
    """Read grants as tokens carry them. Raises ``ValueError`` for what is none."""
    grants = []
    for item in listed:
        if not isinstance(item, dict) or not isinstance(item.get("organisation_id"), str):
            raise ValueError("a grant needs role and organisation_id")
        grants.append(Grant(role=Role(item["role"]), organisation_id=item["organisation_id"]))
    return tuple(grants)
