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
from domain.account.aggregate import Account, grants_of
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
    """Answers ``imewe.auth.login``. The answer takes as long for an unknown mail address."""

    def __init__(
        self,
        application: Imewe,
        authentication: Authentication,
        *,
        attempts: Attempts | None = None,
    ) -> None:
        self._application = application
        self._people = authentication
        self._attempts = attempts or Attempts()

    def log_in(self, mail: str, password: str) -> dict[str, Any]:
        """``account_id``, ``name`` and ``grants``. Raises ``UnauthenticatedError``."""
        self._attempts.count(mail)
        account = self._account(self._people.account_of(mail))
        if not self._people.proves(str(account.id) if account else None, password) or not account:
            raise UnauthenticatedError("mail or password is wrong")
        self._attempts.clear(mail)
        return {
            "account_id": str(account.id),
            "name": self._people.opened_name(str(account.id), account.sealed_name),
            "grants": grants_of(account),
        }

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
