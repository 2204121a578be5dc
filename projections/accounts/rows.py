"""Rows of people and organisations."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """A person. ``mail`` and ``name`` are sealed (``Personal.stored``), and stay so when nobody can
    open them any more; ``grants`` are [{"role", "organisation_id"}]."""

    id: str
    organisation_id: str
    mail: dict[str, str]
    name: dict[str, str]
    grants: list[dict[str, str]]
    closed: bool
    erased_at: datetime | None
    opened_at: datetime
    created: int
    position: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganisationRow:
    """A tenant."""

    id: str
    name: str
    created: int
    position: int
    version: int
