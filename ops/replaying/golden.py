"""Golden records: one stored record of every version of every event, read for ever.

A file holds what an export's line holds (``ops.replaying.lines``), laid out for people. It is
written once: whatever becomes of the code, the record in it must stay readable, and its hash true.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.aggregates import AGGREGATES
from ops.eventstore.envelope import Record
from ops.replaying.errors import ExportError
from ops.replaying.lines import event_told, record_told
from ops.schema_files import all_events, released, stem, version_name
from ops.settings import CHECKOUT

GOLDEN = CHECKOUT / "tests" / "golden"


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """One kept record, and what today's code is to make of its body."""

    name: str
    record: Record
    fields: dict[str, Any]


def missing_golden(
    folder: Path = GOLDEN, *, aggregates: Iterable[type[Any]] = AGGREGATES
) -> list[str]:
    """Versions, released or of a present class, of which no record is kept."""
    wanted = {*released(), *(version_name(event) for event in all_events(aggregates))}
    return sorted(name for name in wanted if not (folder / f"{name}.json").exists())


def write_golden(records: Iterable[Record], folder: Path = GOLDEN) -> list[Path]:
    """Keep the first record of every version that has none; the files that are new."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for record in records:
        version = record.headers.get("Imewe-Schema", "1")
        path = folder / f"{stem(record.topic)}.v{version}.json"
        if not path.exists():
            told = {"event": event_told(record), "fields": json.loads(record.body)}
            path.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
            made.append(path)
    return made


def kept_golden(folder: Path = GOLDEN) -> Iterator[Golden]:
    """Every kept record. Raises ``ExportError`` for a file that is none."""
    for path in sorted(folder.glob("*.json")):
        try:
            told = json.loads(path.read_text())
            record = record_told(told["event"])
            yield Golden(name=path.stem, record=record, fields=told["fields"])
        except (ValueError, KeyError, TypeError) as error:
            raise ExportError(f"{path.name} is no golden record: {error}") from error
