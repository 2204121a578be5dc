"""Makes the golden records that are missing: ``python -m tests.golden_stories``.

A real nats-server takes a story of the shop, and after it one event of each kind that the story
does not tell, with the plainest body that its schema takes. Records of released versions are never
written again; one of an event that may still change is made anew when it does not fit any more.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from eventsourcing.domain import CanInitAggregate
from eventsourcing.persistence import StoredEvent

from domain.aggregates import AGGREGATES
from domain.shared.identifiers import derived
from ops.eventstore.client import Client
from ops.eventstore.envelope import Record
from ops.eventstore.stored import OutgoingEvent
from ops.eventstore.streams import LogNames, ensure_streams
from ops.hosting.account import server_account
from ops.messaging.server import EmbeddedNats, credentials
from ops.replaying.golden import GOLDEN, kept_golden, missing_golden, write_golden
from ops.replaying.validating import Schemas, violation
from ops.schema_files import all_events, event_schema, event_version, released, version_name
from tests.eventlog import OwnLog, an_envelope
from tests.replaying import stored
from tests.stories import BEGIN, SEALED, busy_shop

_PLAIN: dict[str, Any] = {"string": "text", "integer": 1, "number": 1.5, "boolean": True}


def plainest(schema: dict[str, Any]) -> Any:
    """A value that a schema takes."""
    if "x-personal" in schema:
        return SEALED.stored()
    match schema.get("type"):
        case "object" if "properties" in schema:
            return {name: plainest(each) for name, each in schema["properties"].items()}
        case "object":
            inner = schema.get("additionalProperties")
            return {"key": plainest(inner)} if isinstance(inner, dict) else {}
        case "array":
            return [plainest(schema["items"])]
        case None:
            return None
        case known:
            return _PLAIN[known]


def every_event() -> Iterator[StoredEvent]:
    """One object of every kind, with one event of every kind."""
    for aggregate in AGGREGATES:
        events = sorted(
            all_events([aggregate]), key=lambda each: not issubclass(each, CanInitAggregate)
        )
        originator: UUID = derived("golden", aggregate.__name__)
        for version, event in enumerate(events, start=1):
            yield OutgoingEvent(
                originator_id=originator,
                originator_version=version,
                topic=event.TOPIC,  # type: ignore[attr-defined]
                state=orjson.dumps(plainest(event_schema(event))),
                occurred_at=BEGIN + timedelta(seconds=version),
                schema_version=event_version(event),
            )


def story(log: OwnLog) -> list[Record]:
    """Everything, as it is stored."""
    recorder = log.factory().application_recorder()
    stored(log, busy_shop(8).events)
    for event in every_event():
        recorder.insert_events([event], envelope=an_envelope(f"golden {event.topic}"))
    return stored(log, [])


def outgrown(folder: Path) -> Iterator[Path]:
    """Records of versions that were never released and are not what their class says any more."""
    schemas = Schemas()
    present = {version_name(event) for event in all_events()}
    for golden in kept_golden(folder):
        topic, version = golden.record.topic, int(golden.record.headers["Imewe-Schema"])
        fits = golden.name in present and not violation(schemas.of(topic, version), golden.fields)
        if golden.name not in released() and not fits:
            yield folder / f"{golden.name}.json"


def main(folder: Path = GOLDEN) -> None:
    """Write what is missing, and say what."""
    for path in list(outgrown(folder)):
        path.unlink()
        sys.stdout.write(f"outgrown {path.name}\n")
    outer = Path(tempfile.mkdtemp(prefix="imewe-golden-"))
    outer.chmod(0o711)
    server = EmbeddedNats(outer / "home", server_account())
    server.start()
    try:
        passwords = credentials(outer / "home")
        log = OwnLog(server=server, passwords=passwords, names=LogNames())
        supervisor = Client(log.address("log_supervisor"))
        ensure_streams(supervisor)
        supervisor.close()
        for path in write_golden(story(log), folder):
            sys.stdout.write(f"kept {path.name}\n")
        for factory in log.factories:
            factory.close()
    finally:
        server.stop()
        shutil.rmtree(outer)
    sys.stdout.write(f"missing: {missing_golden(folder)}\n")


if __name__ == "__main__":
    main()
