"""Logging in: the commands service checks the password, the gateway signs the token."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from commands.tokens import Signer
from domain.ports import Clock
from domain.shared.scope import Grant, grants_from


class PasswordCheck(Protocol):
    """The commands service, which alone can see password hashes."""

    async def check(self, *, mail: str, password: str, address: str = "") -> dict[str, Any]:
        """``{"account_id", "name", "grants"}``. Raises ``UnauthenticatedError``, after the same
        time for a wrong password as for nobody's mail, or ``UnavailableError``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A token and when it ends."""

    token: str
    expires_at: datetime
    account_id: str
    name: str
    grants: tuple[Grant, ...]


class SignIn:
    """Makes tokens of a short life for people who know their password."""

    def __init__(
        self,
        passwords: PasswordCheck,
        signer: Signer,
        *,
        clock: Clock,
        new_id: Callable[[], str],
        ttl_s: int,
    ) -> None:
        self._passwords = passwords
        self._signer = signer
        self._clock = clock
        self._new_id = new_id
        self._ttl_s = ttl_s

    async def sign_in(self, *, mail: str, password: str, address: str = "") -> SignedIn:
        """Raises ``UnauthenticatedError`` or ``UnavailableError``. ``address`` is the client's, for
        the audit trail."""
        person = await self._passwords.check(mail=mail, password=password, address=address)
        now = self._clock.now()
        token = self._signer.sign(
            account_id=person["account_id"],
            name=person["name"],
            grants=person["grants"],
            token_id=self._new_id(),
            now=now,
            ttl_s=self._ttl_s,
        )
        return SignedIn(
            token=token,
            expires_at=now + timedelta(seconds=self._ttl_s),
            account_id=person["account_id"],
            name=person["name"],
            grants=grants_from(person["grants"]),
        )
