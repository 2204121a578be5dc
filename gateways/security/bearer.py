"""The bearer token of a request (RFC 6750) and who it belongs to."""

import base64
from dataclasses import dataclass

import orjson
from starlette.requests import HTTPConnection

from commands.principal import Principal
from commands.tokens import Verifier
from domain.shared.errors import UnauthenticatedError
from domain.shared.scope import Scope

SCHEME = "bearer"
TOKEN_LIMIT = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks. Without a token: nobody, who may log in and nothing else."""

    token: str = ""
    principal: Principal | None = None
    address: str = ""
    """Where the request came from."""

    def person(self) -> Principal:
        """The person. Raises ``UnauthenticatedError`` when nobody has logged in."""
        if self.principal is None:
            raise UnauthenticatedError(
                "this needs a token", remedy="log in and send Authorization: Bearer <token>"
            )
        return self.principal

    def scope(self) -> Scope:
        """What the person may see. Raises ``UnauthenticatedError``."""
        return self.person().scope


def caller(authorization: str | None, verifier: Verifier, *, address: str = "") -> Caller:
    """Who a header speaks for; no header speaks for nobody.

    Raises ``UnauthenticatedError`` for anything in the header that is not a valid token of ours:
    an expired one must never pass for none.
    """
    if not authorization:
        return Caller(address=address)
    scheme, _, token = authorization.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != SCHEME or not token or len(token) > TOKEN_LIMIT:
        raise UnauthenticatedError("the Authorization header is not Bearer <token>")
    return Caller(token=token, principal=verifier.verify(token), address=address)


def address_of(connection: HTTPConnection) -> str:
    """The client's address, or empty."""
    return connection.client.host if connection.client else ""


def expiry(verified: Caller) -> float:
    """When an already verified token ends, in seconds since 1970."""
    claims = verified.token.split(".")[1]
    padded = claims + "=" * (-len(claims) % 4)
    return float(orjson.loads(base64.urlsafe_b64decode(padded))["exp"])
