"""A story in a real log, and exports of it."""

from pathlib import Path

from domain.shared.recorded import RecordedEvent
from ops.eventstore.envelope import Record
from ops.eventstore.stored import OutgoingEvent
from ops.replaying.writing import Format, Stretch, write_export
from tests.eventlog import OwnLog, records


def stored(log: OwnLog, events: list[RecordedEvent]) -> list[Record]:
    """Append the events one by one, as the writer does, and read them as they are stored."""
    recorder = log.factory().application_recorder()
    for event in events:
        outgoing = OutgoingEvent(
            originator_id=event.aggregate_id,
            originator_version=event.version,
            topic=event.topic,
            state=event.body,
            occurred_at=event.envelope.occurred_at,
            schema_version=event.schema_version,
        )
        recorder.insert_events([outgoing], envelope=event.envelope)
    return records(log)


def exported(
    path: Path,
    found: list[Record],
    *,
    format: Format = "jsonl",
    places: tuple[str, ...] | None = None,
    first: int = 1,
    last: int | None = None,
) -> Path:
    """Write records into a file, in pages of ten."""
    end = found[-1].sequence if last is None and found else last or 0
    stretch = Stretch(first=first, last=end, organisations=places)
    pages = [(found[i : i + 10], found[i : i + 10][-1].sequence) for i in range(0, len(found), 10)]
    write_export(path, format, stretch, pages)
    return path
