"""Reads a whole log with the code of today and counts what it cannot read, before an upgrade."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from domain.shared.errors import NewerVersionError
from ops.eventstore.envelope import Record
from ops.eventstore.mapper import event_class, upcast, version_of
from ops.eventstore.reader import PoisonEventError, recorded_event
from ops.replaying.validating import Schemas, violation

SAMPLES = 20

NEWER, UNREADABLE, VIOLATION = "newer", "unreadable", "violation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One event that this program cannot read, or that is not as its schema says.

    ``kind`` is ``newer`` (a topic or version of a later release), ``unreadable`` or ``violation``.
    """

    position: int
    subject: str
    topic: str
    version: int
    kind: str
    reason: str


@dataclass(slots=True, kw_only=True)
class Report:
    """What a log holds. ``problems`` shows the first of them, ``counts`` counts them all.

    ``versions`` counts events by topic and stored version; ``aggregates`` are those that a
    projection would park.
    """

    events: int = 0
    last: int = 0
    versions: Counter[tuple[str, int]] = field(default_factory=Counter)
    upcast: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    aggregates: set[str] = field(default_factory=set)

    @property
    def is_readable(self) -> bool:
        """Whether this program can take the log over."""
        return not self.counts

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "readable": self.is_readable,
            "events": self.events,
            "last": self.last,
            "upcast": self.upcast,
            "versions": [
                {"topic": topic, "version": version, "events": count}
                for (topic, version), count in sorted(self.versions.items())
            ],
            "counts": dict(self.counts),
            "aggregates": len(self.aggregates),
            "problems": [
                {name: getattr(each, name) for name in Problem.__dataclass_fields__}
                for each in self.problems
            ],
        }


def check(
    records: Iterable[Record],
    *,
    schemas: Schemas | None = None,
    progress: Callable[[int], None] = lambda _position: None,
) -> Report:
    """Decode every event; with ``schemas`` also compare it with the schema of its own version,
    and what upcasters make of it with today's."""
    report = Report()
    for record in records:
        version = _version(record.headers)
        topic = record.headers.get("Imewe-Topic", "")
        report.events += 1
        report.last = record.sequence
        report.versions[topic, version] += 1
        found = _problem(record, report, topic, version, schemas)
        if found is not None:
            kind, reason = found
            report.counts[kind] += 1
            report.aggregates.add(record.subject)
            if len(report.problems) < SAMPLES:
                report.problems.append(
                    Problem(
                        position=record.sequence,
                        subject=record.subject,
                        topic=topic,
                        version=version,
                        kind=kind,
                        reason=reason,
                    )
                )
        progress(record.sequence)
    return report


def _problem(
    record: Record, report: Report, topic: str, version: int, schemas: Schemas | None
) -> tuple[str, str] | None:
    try:
        recorded_event(record)
    except PoisonEventError as error:
        newer = isinstance(error.__cause__, NewerVersionError)
        return NEWER if newer else UNREADABLE, error.reason
    known = version_of(event_class(topic))
    report.upcast += known > version
    if schemas is None:
        return None
    body = orjson.loads(record.body)
    wrong = violation(schemas.of(topic, version), body)
    if not wrong and known > version:
        wrong = violation(schemas.of(topic, known), upcast(topic, body, version, known))
    return (VIOLATION, wrong) if wrong else None


def _version(headers: Mapping[str, str]) -> int:
    text = headers.get("Imewe-Schema", "1")
    return int(text) if text.isdigit() else 0
