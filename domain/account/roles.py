"""The roles a person or a service can hold in an organisation."""

from enum import StrEnum


class Role(StrEnum):
    """The specification's roles, and two that the system needs."""

    ADMIN = "admin"
    DESIGNER = "designer"
    VENDOR = "vendor"
    OPERATOR = "operator"
    VIEWER = "viewer"
    AUDITOR = "auditor"
    SERVICE = "service"


HUMAN = frozenset(Role) - {Role.SERVICE}
"""Roles that may be granted to a person."""
