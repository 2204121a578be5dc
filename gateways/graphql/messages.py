"""The messages of graphql-transport-ws (PROTOCOL.md of graphql-ws), read without trust."""

from dataclasses import dataclass, field
from typing import Any

import orjson

SUBPROTOCOL = "graphql-transport-ws"


class CloseCode:
    """Why a socket is closed; the 44xx codes are the protocol's own."""

    TRY_AGAIN_LATER = 1013
    GOING_AWAY = 1001
    BAD_MESSAGE = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    BAD_SUBPROTOCOL = 4406
    INIT_TIMEOUT = 4408
    ID_TAKEN = 4409
    TOO_MANY_INITS = 4429


class BadMessageError(Exception):
    """The client broke the protocol; the text says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """A client asks for an operation under an id of its own."""

    id: str
    query: str
    variables: dict[str, Any] = field(default_factory=dict)
    operation_name: str | None = None


def read(text: str | bytes) -> dict[str, Any]:
    """A message with its type. Raises ``BadMessageError``."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadMessageError("a message must be JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise BadMessageError("a message must be an object with a type")
    if not isinstance(message.get("payload", {}), dict | None):
        raise BadMessageError("a payload must be an object")
    return message


def message_id(message: dict[str, Any]) -> str:
    """The operation's id. Raises ``BadMessageError``."""
    found = message.get("id")
    if not isinstance(found, str) or not found:
        raise BadMessageError("a message of this type needs an id")
    return found


def read_subscribe(message: dict[str, Any]) -> Subscribe:
    """What a client asks for. Raises ``BadMessageError``."""
    payload = message.get("payload") or {}
    query = payload.get("query")
    variables = payload.get("variables") or {}
    name = payload.get("operationName")
    if not isinstance(query, str):
        raise BadMessageError("the payload needs a query")
    if not isinstance(variables, dict):
        raise BadMessageError("variables must be an object")
    if not isinstance(name, str | None):
        raise BadMessageError("operationName must be a string")
    return Subscribe(id=message_id(message), query=query, variables=variables, operation_name=name)


def write(kind: str, *, id: str | None = None, payload: bytes | None = None) -> str:
    """A message with an already encoded payload: only the id is written for each client."""
    parts = [b'{"type":"', kind.encode(), b'"']
    if id is not None:
        parts += [b',"id":', orjson.dumps(id)]
    if payload is not None:
        parts += [b',"payload":', payload]
    return b"".join([*parts, b"}"]).decode()
