"""Signed tokens: who a person is and which roles the person holds, for a few minutes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from commands.principal import USER, Principal
from domain.ports import Clock
from domain.shared.errors import UnauthenticatedError
from domain.shared.scope import grants_from

ISSUER = "imewe"
AUDIENCE = "imewe"
ALGORITHM = "Ed25519"
"""EdDSA on Ed25519 by its full name (RFC 9864)."""
REMEMBERED_TOKENS = 1000
_CLAIMS = frozenset({"iss", "aud", "sub", "exp", "iat", "jti", "grants", "name"})


class Signer:
    """Makes tokens with the private half of an Ed25519 key pair (PEM)."""

    def __init__(self, private_key: bytes) -> None:
        self._key = OKPKey.import_key(private_key)

    def sign(
        self,
        *,
        account_id: str,
        name: str,
        grants: Sequence[Mapping[str, str]],
        token_id: str,
        now: datetime,
        ttl_s: int,
    ) -> str:
        """A token for ``ttl_s`` seconds from ``now``."""
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": account_id,
            "name": name,
            "grants": [dict(grant) for grant in grants],
            "jti": token_id,
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(seconds=ttl_s)).timestamp()),
        }
        return jwt.encode({"alg": ALGORITHM}, claims, self._key, algorithms=[ALGORITHM])


class Verifier:
    """Checks tokens with the public half (PEM).

    A signature that was good once is not computed again; the expiry is looked at each time, and
    so is ``is_gone``, which knows the accounts that are closed although their tokens live on.
    """

    def __init__(
        self,
        public_key: bytes,
        *,
        clock: Clock,
        is_gone: Callable[[str], bool] = lambda account_id: False,
    ) -> None:
        self._is_gone = is_gone
        self._key = OKPKey.import_key(public_key)
        self._clock = clock
        self._good: dict[str, tuple[int, Principal]] = {}

    def verify(self, token: str) -> Principal:
        """The person. Raises ``UnauthenticatedError`` for expired, forged or incomplete tokens."""
        expires, principal = self._good.get(token) or self._read(token)
        if expires <= self._clock.now().timestamp():
            self._good.pop(token, None)
            raise UnauthenticatedError("the token has expired", remedy="log in again")
        if self._is_gone(principal.id):
            self._good.pop(token, None)
            raise UnauthenticatedError("this account is closed")
        if len(self._good) >= REMEMBERED_TOKENS:
            self._good.clear()
        self._good[token] = (expires, principal)
        return principal

    def _read(self, token: str) -> tuple[int, Principal]:
        try:
            return _principal(jwt.decode(token, self._key, algorithms=[ALGORITHM]).claims)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise UnauthenticatedError("the token is not one of ours", remedy="log in") from error


def _principal(claims: dict[str, Any]) -> tuple[int, Principal]:
    if _CLAIMS - set(claims) or claims["iss"] != ISSUER or claims["aud"] != AUDIENCE:
        raise ValueError("claims are missing or not ours")
    return int(claims["exp"]), Principal(
        kind=USER,
        id=str(UUID(claims["sub"])),
        name=str(claims["name"]),
        grants=grants_from(claims["grants"]),
    )
