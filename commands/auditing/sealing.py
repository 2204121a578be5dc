"""Network addresses in the audit trail, sealed under the key of the person they belong to.

Where nobody is known, an address stays as it is: it has no person whose erasure could be asked
for, it is what stops an attacker, and it goes with the trail's end after 400 days.
"""

from dataclasses import replace
from uuid import UUID

from commands.accounts.authentication import ADDRESS, Authentication
from commands.auditing.entry import Entry
from commands.auditing.trail import AuditLog, Written
from commands.principal import USER
from domain.shared.personal import is_sealed

ERASED = "erased"
"""What stands for an address whose key was destroyed."""


class SealingLog:
    """An ``AuditLog`` that seals addresses before they are stored, and hashed, in another one."""

    def __init__(self, audit_log: AuditLog, people: Authentication) -> None:
        self._log = audit_log
        self._people = people

    def append(self, entry: Entry, *, name: str) -> bool:
        """See ``AuditLog``."""
        person = person_of(entry)
        if entry.address and person and not is_sealed(entry.address):
            entry = replace(entry, address=self._people.sealed_address(person, entry.address))
        return self._log.append(entry, name=name)

    def newest(self, *, before: int | None, limit: int) -> list[Written]:
        """See ``AuditLog``; addresses stay sealed."""
        return self._log.newest(before=before, limit=limit)


def opened_address(entry: Entry, people: Authentication) -> Entry:
    """The entry as one may read it who may read the trail."""
    if not is_sealed(entry.address):
        return entry
    return replace(entry, address=people.opened_word(ADDRESS, entry.address) or ERASED)


def concerns(entry: Entry, account_id: str) -> bool:
    """Whether the entry is about what a person did, or about that person's account."""
    return entry.actor == f"{USER}/{account_id}" or entry.resource == f"account/{account_id}"


def person_of(entry: Entry) -> str:
    """Whose address it is: the actor's, else the account's that somebody tried; empty: nobody's."""
    for said, kind in ((entry.actor, USER), (entry.resource, "account")):
        found, _, account_id = said.partition("/")
        if found == kind and _is_id(account_id):
            return account_id
    return ""


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
