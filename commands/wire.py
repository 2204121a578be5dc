"""Commands and answers as they travel: subject, headers and JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from domain.shared import errors
from domain.shared.errors import ImeweError, InvalidInputError, UnavailableError

PREFIX = "imewe.command"
AUDIT_REPORT = "imewe.audit.report"
AUDIT_READ = "imewe.audit.read"
AUDIT_STEP = "imewe.audit.step"
"""With the name of the service that tells it behind it, which the connection proves."""
AUTH_REVEAL = "imewe.auth.reveal"
AUTH_CERTIFICATE = "imewe.auth.certificate"
COMMAND_ID = "Imewe-Command-Id"
TOKEN = "Imewe-Token"
ORGANISATION = "Imewe-Organisation"
CAUSATION = "Imewe-Causation"
CORRELATION = "Imewe-Correlation"
TRACE = "traceparent"
ADDRESS = "Imewe-Address"
COMMAND_ID_LIMIT = 200

ERRORS: dict[str, type[ImeweError]] = {
    value.code: value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, ImeweError)
}
"""Every code that an answer may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One command as it came in. ``sender_kind`` and ``sender_id`` are proved by the connection;
    all else is what the sender says."""

    sender_kind: str
    sender_id: str
    name: str
    body: bytes
    command_id: str
    token: str = ""
    organisation_id: str = ""
    causation: str = ""
    correlation: str = ""
    traceparent: str = ""
    address: str = ""
    """Where the person's request came from, as the gateway saw it."""

    @property
    def subject(self) -> str:
        """Where it is sent to."""
        return f"{PREFIX}.{self.sender_kind}.{self.sender_id}.{self.name}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that hold something."""
        given = {
            COMMAND_ID: self.command_id,
            TOKEN: self.token,
            ORGANISATION: self.organisation_id,
            CAUSATION: self.causation,
            CORRELATION: self.correlation,
            TRACE: self.traceparent,
            ADDRESS: self.address,
        }
        return {name: value for name, value in given.items() if value}


def read_request(subject: str, headers: Mapping[str, str] | None, body: bytes) -> Request:
    """The request of a message. Raises ``InvalidInputError``."""
    _, _, tail = subject.partition(f"{PREFIX}.")
    tokens = tail.split(".")
    given = headers or {}
    command_id = given.get(COMMAND_ID, "")
    if len(tokens) != 3 or not all(tokens):
        raise InvalidInputError("not a command subject", field="subject")
    if not 1 <= len(command_id) <= COMMAND_ID_LIMIT or not command_id.isprintable():
        raise InvalidInputError(
            f"a command needs an id of 1 to {COMMAND_ID_LIMIT} printable characters",
            field=COMMAND_ID,
        )
    return Request(
        sender_kind=tokens[0],
        sender_id=tokens[1],
        name=tokens[2],
        body=body,
        command_id=command_id,
        token=given.get(TOKEN, ""),
        organisation_id=given.get(ORGANISATION, ""),
        causation=given.get(CAUSATION, ""),
        correlation=given.get(CORRELATION, ""),
        traceparent=given.get(TRACE, ""),
        address=given.get(ADDRESS, ""),
    )


def write_answer(answer: Mapping[str, Any]) -> bytes:
    """A good answer: ``position`` (int), ``id``, and what the command gives beside."""
    return orjson.dumps({"ok": True, **answer})


def write_refusal(error: ImeweError) -> bytes:
    """A refusal; only the typed error's own words leave the house."""
    code = error.code if error.code in ERRORS else ImeweError.code
    told = {
        "code": code,
        "message": error.message,
        "field": error.field,
        "remedy": error.remedy,
    }
    return orjson.dumps({"ok": False, "error": told})


def read_answer(body: bytes) -> dict[str, Any]:
    """The answer without ``ok``. Raises the typed error that it tells."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UnavailableError("the answer cannot be read") from error
    if not isinstance(answer, dict):
        raise UnavailableError("the answer cannot be read")
    if answer.pop("ok", False):
        return answer
    told = answer.get("error", {})
    kind = ERRORS.get(told.get("code", ""), ImeweError)
    raise kind(
        told.get("message", "refused"),
        field=told.get("field", ""),
        remedy=told.get("remedy", ""),
    )
