"""Writes proof files, line by line: a range of the log, or one job with all that belongs to it.

``verify_imewe.py`` checks them; the format is described in ``ops/docs/proof-format.md``.
"""

from base64 import b64encode
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from re import compile as pattern
from typing import Any, Self
from uuid import UUID

import orjson

from domain.shared.errors import ForbiddenError, InvalidInputError, NotFoundError
from domain.shared.identifiers import build_id, dispatch_id, part_id
from ops.eventstore.envelope import HASH, Record
from ops.eventstore.loading import LogFiles
from ops.notary.evidence import BATCH, Evidence, History, SignedHead
from ops.notary.merkle import entry_of, leaf_hash
from ops.notary.sorted_map import MapEntry, MapProof, OtherLeaf
from ops.notary.verify_imewe import COVERED, line_of

EVENTS = "imewe.events"
FORMAT = 1
ORGANISATION = "Imewe-Org"
_TOKEN = pattern(r"[0-9a-f-]{36}")

Children = tuple[str, int, Callable[[str, int], UUID]]
BELOW: dict[str, Children] = {
    "job": ("part", 0, part_id),
    "part": ("dispatch", 0, dispatch_id),
    "dispatch": ("build", 1, build_id),
}
"""What belongs to an aggregate of each kind: kind, first number, id from the parent's and it."""


class Writing:
    """Gives every line its one form, and knows what the last line must say."""

    def __init__(self) -> None:
        self._whole = sha256()
        self.events = 0

    def line(self, **told: Any) -> bytes:
        """One line."""
        line = line_of(told)
        self._whole.update(line)
        return line

    def event(self, record: Record) -> bytes:
        """One event; what the server adds to its headers is left out, but for its time."""
        self.events += 1
        headers = {n: record.headers[n] for n in (*COVERED, HASH) if n in record.headers}
        others = {n: v for n, v in record.headers.items() if n.startswith("Imewe-")}
        return self.line(
            event={
                "sequence": record.sequence,
                "time": record.headers["Nats-Time-Stamp"].strip(),
                "subject": record.subject,
                "headers": {**headers, **others},
                "body": _base64(record.body),
                "leaf": _base64(leaf_hash(entry_of(record))),
            }
        )

    def end(self, *, unsigned_tail: int) -> bytes:
        """The last line."""
        told = {
            "events": self.events,
            "unsigned_tail": unsigned_tail,
            "sha256": self._whole.hexdigest(),
        }
        return line_of({"end": told})


@dataclass
class JobStory:
    """A job's records in the order of the log, and every aggregate that was looked for: those
    that are there, and behind the last of each kind one that is not."""

    log: LogFiles
    records: list[Record] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)

    @staticmethod
    def demand(log: LogFiles, job_id: str, *, places: Collection[str] | None) -> None:
        """Raises ``NotFoundError`` for no job, and for one outside ``places``; ``None``: all."""
        last = log.last(job_id, kind="job") if _TOKEN.fullmatch(job_id) else None
        if last is None or (places is not None and last.headers.get(ORGANISATION) not in places):
            raise NotFoundError(f"there is no job {job_id[:60]}", field="job")

    @classmethod
    def read(cls, log: LogFiles, job_id: str) -> Self:
        """Read a job with all that belongs to it."""
        story = cls(log)
        story.visit("job", job_id)
        story.records.sort(key=lambda record: record.sequence)
        return story

    def visit(self, kind: str, token: str) -> bool:
        """Take an aggregate with all that belongs to it; False when it is not there."""
        self.subjects.append(f"{EVENTS}.{kind}.{token}")
        last = self.log.last(token, kind=kind)
        if last is None:
            return False
        records = self.log.history(last, above=-1, down_from=last.version)
        self.records += records
        if kind in BELOW:
            below, first, name = BELOW[kind]
            least = first + max(spoken_of(record.body) for record in records)
            for number in count(first):
                if not self.visit(below, str(name(token, number))) and number >= least:
                    break
        return True


def spoken_of(body: bytes) -> int:
    """How many things below itself an event speaks of: parts, pieces or attempts."""
    told = orjson.loads(body)
    numbers = (told.get("piece", -1) + 1, told.get("quantity", 0), told.get("attempt", 0))
    return int(max(len(told.get("parts", ())), *numbers))


def job_lines(evidence: Evidence, story: JobStory, job_id: str, *, log_size: int) -> list[bytes]:
    """A job's whole file. Raises ``MovedOnError``."""
    writing, head = Writing(), evidence.head
    lines = [
        _first(writing, evidence.history, "job", job_id=job_id, log_size=log_size),
        *_keys(writing, evidence.history),
        writing.line(head=evidence.history.newest.note),
    ]
    for record in story.records:
        lines.append(writing.event(record))
        if record.sequence <= head.size:
            path = evidence.tree.inclusion(record.sequence - 1, head.size)
            proof = {"sequence": record.sequence, "hashes": [_base64(each) for each in path]}
            lines.append(writing.line(inclusion=proof))
    lines += [
        writing.line(map=_map_line(subject, evidence.prove(subject))) for subject in story.subjects
    ]
    tail = sum(record.sequence > head.size for record in story.records)
    return [*lines, writing.end(unsigned_tail=tail)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Events ``first`` to ``last`` (sequences) and the heads that cover them.

    ``last`` was moved up to the next head, if there is one: so that all of it is proved.
    """

    first: int
    last: int
    heads: list[SignedHead]
    log_size: int

    @classmethod
    def of(cls, history: History, *, first: int, last: int, log_size: int) -> "Range":
        """Raises ``InvalidInputError`` for a range that the log does not hold."""
        last = min(last or log_size, log_size)
        if not 1 <= first <= last:
            raise InvalidInputError(
                f"the log holds events 1 to {log_size}; there is nothing from {first} to {last}",
                field="from",
            )
        behind = [each for each in history.heads if each.head.size >= first]
        if not behind:
            raise NotFoundError(
                f"nothing from event {first} on is signed yet", remedy="try again in a minute"
            )
        inner = [each for each in behind if each.head.size < last]
        heads = behind[: len(inner) + 1]
        last = max(last, heads[-1].head.size)
        return cls(first=first, last=last, heads=heads, log_size=log_size)

    @property
    def tail(self) -> int:
        """How many events no head covers."""
        return self.last - self.heads[-1].head.size


def refuse_foreign(records: Iterable[Record], places: Collection[str]) -> None:
    """Raises ``ForbiddenError`` when one of the records belongs to another organisation."""
    for record in records:
        place = record.headers.get(ORGANISATION, "")
        if place and place not in places:
            raise ForbiddenError(
                "the range holds events of organisations that you do not audit",
                remedy="export by job: --job ID",
            )


def range_lines(
    history: History, wanted: Range, path: Iterable[bytes], log: LogFiles
) -> Iterator[bytes]:
    """A range's whole file, read as it is written. ``path``: the hashes of the whole subtrees
    over what is before it, the largest first."""
    writing = Writing()
    yield _first(
        writing, history, "range", start=wanted.first, to=wanted.last, log_size=wanted.log_size
    )
    yield from _keys(writing, history)
    for each in wanted.heads:
        yield writing.line(head=each.note)
    yield writing.line(range_proof={"hashes": [_base64(each) for each in path]})
    at = wanted.first
    while at <= wanted.last:
        records = log.stretch(at, min(BATCH, wanted.last + 1 - at))
        if not records:
            break
        for record in records:
            yield writing.event(record)
        at = records[-1].sequence + 1
    yield writing.end(unsigned_tail=wanted.tail)


def path_before(evidence: Evidence, first: int) -> list[bytes]:
    """The subtrees over the events before ``first``, the largest first: the way of ``first`` to
    the root of a log that ends with it."""
    return evidence.tree.inclusion(first - 1, first)[::-1]


def _first(
    writing: Writing,
    history: History,
    kind: str,
    *,
    log_size: int,
    start: int = 1,
    to: int = 0,
    job_id: str = "",
) -> bytes:
    return writing.line(
        imewe_proof=FORMAT,
        kind=kind,
        origin=history.origin,
        **{"from": start, "to": to or log_size},
        job_id=job_id,
        log_size=log_size,
    )


def _keys(writing: Writing, history: History) -> list[bytes]:
    return [writing.line(rotation=note) for _, note in history.keys]


def _map_line(subject: str, proof: MapProof) -> dict[str, Any]:
    siblings = [_base64(each) for each in proof.siblings]
    end: dict[str, Any] | None = None
    match proof.end:
        case MapEntry():
            end = proof.end._asdict()
        case OtherLeaf():
            end = {"key": _base64(proof.end.key), "value": _base64(proof.end.value)}
    return {"subject": subject, "siblings": siblings, "end": end}


def _base64(value: bytes) -> str:
    return b64encode(value).decode()
