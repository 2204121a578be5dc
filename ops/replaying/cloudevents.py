"""Stored events as CloudEvents 1.0, and back.

The file is one document in the JSON Batch Format (CloudEvents 1.0.2, JSON Event Format section 4),
an event a line. Attributes follow the specification's section 3.1: ``type`` is the topic,
``subject`` the aggregate's subject, ``time`` when it happened, ``dataschema`` names the file in
``schema/events``; ``sequence``, ``partitionkey`` and ``recordedtime`` are documented extensions.
Every header of the log is an extension attribute under its name without hyphens in small letters,
so that hashes can be checked again. ``data`` holds the body as it is stored wherever a JSON writer
gives those bytes back (JSON Event Format section 3.1.1), ``data_base64`` where it does not.
"""

from base64 import b64decode, b64encode
from typing import Any

import orjson

from ops.eventstore.envelope import FIELDS, HASH, Record
from ops.replaying.errors import ExportError
from ops.replaying.lines import kept_headers, made_record, stored_time
from ops.schema_files import stem

SOURCE = "/imewe/events"
ATTRIBUTES = {name: name.replace("-", "").lower() for name in (*FIELDS, HASH)}


def cloud_event(record: Record) -> bytes:
    """One event as a JSON object, without a line end."""
    headers = kept_headers(record)
    topic, version = headers.get("Imewe-Topic", ""), headers.get("Imewe-Schema", "1")
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": headers.get("Imewe-Event") or str(record.sequence),
        "source": SOURCE,
        "type": topic or "unknown",
        "subject": record.subject,
        "time": headers.get("Imewe-Occurred") or headers.get("Imewe-Recorded"),
        "datacontenttype": "application/json",
        "dataschema": f"urn:imewe:schema:{stem(topic)}.v{version}" if ":" in topic else None,
        "sequence": str(record.sequence),
        "partitionkey": record.aggregate,
        "recordedtime": stored_time(record),
        **{ATTRIBUTES[name]: value for name, value in headers.items() if name in ATTRIBUTES},
    }
    written = orjson.dumps({name: value for name, value in attributes.items() if value})
    return written[:-1] + b"," + _data(record.body) + b"}"


def record_of_cloud_event(told: Any, *, line: int) -> Record:
    """The stored event again. Raises ``ExportError``."""
    try:
        if told["specversion"] != "1.0":
            raise ValueError(f"it is CloudEvents {told['specversion']}, not 1.0")
        return made_record(
            sequence=int(told["sequence"]),
            time=told["recordedtime"],
            subject=told["subject"],
            headers={name: told[short] for name, short in ATTRIBUTES.items() if short in told},
            body=_body(told),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ExportError(f"this is no event of Imewe's: {error}", line=line) from error


def _data(body: bytes) -> bytes:
    try:
        if orjson.dumps(orjson.loads(body)) == body:
            return b'"data":' + body
    except orjson.JSONDecodeError:
        pass  # kept as it is, byte for byte
    return b'"data_base64":"' + b64encode(body) + b'"'


def _body(told: dict[str, Any]) -> bytes:
    if "data_base64" in told:
        return b64decode(told["data_base64"], validate=True)
    return orjson.dumps(told["data"])
