"""Stored events as JSON lines: the form of ``imewe events export``, and that of proofs.

An export begins with ``{"imewe_events":1,"from":1,"to":9,"organisations":null}``. Then comes one
line for every event: ``{"event":{"sequence":1,"time":"...","subject":"...","headers":{...},
"text":"..."}}`` with the server's time as it gave it, the headers that the hash covers and the
hash, and the body's very text (``body`` in base64 where it is no UTF-8, and in proofs always). The
last line is ``{"end":{"events":9,"sha256":"..."}}`` over all bytes before it.

``organisations`` names those whose events the file holds; ``null`` means everybody's, and then no
sequence may be missing.
"""

import binascii
from base64 import b64decode, b64encode
from typing import Any

import orjson

from ops.eventstore.envelope import STORED, Record
from ops.replaying.errors import ExportError

HEADER_PREFIX = "Imewe-"


def kept_headers(record: Record) -> dict[str, str]:
    """The headers that are ours; the server's own are not exported."""
    return {k: v for k, v in record.headers.items() if k.startswith(HEADER_PREFIX)}


def stored_time(record: Record) -> str:
    """The server's time of the event, as it gives it."""
    return record.headers.get(STORED, "").strip()


def event_line(record: Record) -> bytes:
    """One event as a line."""
    return orjson.dumps({"event": event_told(record)}) + b"\n"


def event_told(record: Record) -> dict[str, Any]:
    """One event as a JSON object."""
    return {
        "sequence": record.sequence,
        "time": stored_time(record),
        "subject": record.subject,
        "headers": kept_headers(record),
        **_body(record.body),
    }


def record_told(told: Any, *, line: int = 0) -> Record:
    """The event again. Raises ``ExportError``."""
    try:
        sequence = told["sequence"]
        if type(sequence) is not int or sequence < 1:
            raise ValueError("its sequence is no number")
        return made_record(
            sequence=sequence,
            time=told["time"],
            subject=told["subject"],
            headers=dict(told["headers"]),
            body=_bytes(told),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        sequence = told.get("sequence", 0) if isinstance(told, dict) else 0
        known = sequence if type(sequence) is int else 0
        raise ExportError(f"this is no event: {error}", line=line, sequence=known) from error


def made_record(
    *, sequence: int, time: str, subject: str, headers: dict[str, str], body: bytes
) -> Record:
    """A record of parts that come from elsewhere. Raises ``ValueError``."""
    words = [time, subject, *headers.keys(), *headers.values()]
    if not all(isinstance(word, str) for word in words):
        raise ValueError("a header is no text")
    record = Record(
        sequence=sequence, subject=subject, headers={**headers, STORED: time}, body=body
    )
    if record.subject.count(".") < 2:
        raise ValueError(f"{subject[:80]!r} is no subject of an event")
    if record.stored_at.tzinfo is None:
        raise ValueError("its time has no zone")
    return record


def _body(body: bytes) -> dict[str, str]:
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"body": b64encode(body).decode()}


def _bytes(told: dict[str, Any]) -> bytes:
    if "text" in told:
        return str(told["text"]).encode()
    try:
        return b64decode(told["body"], validate=True)
    except binascii.Error as error:
        raise ValueError("its body is no base64") from error
