"""Signing in: mail and password in, account and grants out."""

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any
from uuid import UUID

from eventsourcing.application import AggregateNotFoundError

from commands.accounts.authentication import LONGEST_MAIL, Authentication
from commands.application import Imewe
from commands.auditing.recording import logged_in, opaque_mail, refused_login
from commands.auditing.trail import Trail
from domain.account.aggregate import Account, grants_of
from domain.ports import Clock
from domain.shared.errors import UnauthenticatedError, UnavailableError

ATTEMPTS_A_MINUTE = 10
REMEMBERED_MAILS = 10_000


class Attempts:
    """Counts tries for each mail address: ten a minute, known or unknown."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = Lock()
        self._since: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def count(self, mail: str) -> None:
        """One more try. Raises ``UnavailableError`` when there were too many."""
        now = self._monotonic()
        with self._lock:
            since, tries = self._since.pop(_folded(mail), (now, 0))
            if now - since >= 60:
                since, tries = now, 0
            self._since[_folded(mail)] = (since, tries + 1)
            if len(self._since) > REMEMBERED_MAILS:
                self._since.popitem(last=False)
        if tries >= ATTEMPTS_A_MINUTE:
            raise UnavailableError(
                "too many tries to log in under this mail address", remedy="wait a minute"
            )

    def clear(self, mail: str) -> None:
        """The right password was given."""
        with self._lock:
            self._since.pop(_folded(mail), None)


class Login:
    """Answers ``imewe.auth.login``. The answer takes as long for an unknown mail address.

    What the limit lets through is in the audit trail before it is answered, whatever came of it.
    ``mail_key`` hides there which mail address it was that nobody has.
    """

    def __init__(
        self,
        application: Imewe,
        authentication: Authentication,
        *,
        trail: Trail,
        clock: Clock,
        mail_key: bytes,
        attempts: Attempts | None = None,
    ) -> None:
        self._application = application
        self._people = authentication
        self._trail = trail
        self._clock = clock
        self._mail_key = mail_key
        self._attempts = attempts or Attempts()

    def log_in(self, mail: str, password: str, address: str = "") -> dict[str, Any]:
        """``account_id``, ``name`` and ``grants``. Raises ``UnauthenticatedError``."""
        self._attempts.count(mail)
        account = self._account(self._people.account_of(mail))
        if not self._people.proves(str(account.id) if account else None, password) or not account:
            raise self._refused(mail, account, address)
        self._attempts.clear(mail)
        now = self._clock.now()
        entry = logged_in(str(account.id), account.organisation_id, address=address, at=now)
        self._trail.record(entry, proved=True)
        return {
            "account_id": str(account.id),
            "name": self._people.opened_name(str(account.id), account.sealed_name),
            "grants": grants_of(account),
        }

    def _refused(self, mail: str, account: Account | None, address: str) -> UnauthenticatedError:
        error, now = UnauthenticatedError("mail or password is wrong"), self._clock.now()
        whom = f"account/{account.id}" if account else opaque_mail(mail, self._mail_key, at=now)
        place = account.organisation_id if account else ""
        entry = refused_login(whom, place, error, address=address, at=now)
        self._trail.record(entry, proved=False)
        return error

    def _account(self, account_id: str | None) -> Account | None:
        """The account when it is open."""
        if account_id is None:
            return None
        try:
            account = self._application.load(UUID(account_id))
        except AggregateNotFoundError:
            return None  # its secrets were kept and the event was not: it never came to be
        return account if isinstance(account, Account) and not account.closed else None


def _folded(mail: str) -> str:
    return mail.strip().casefold()[:LONGEST_MAIL]
