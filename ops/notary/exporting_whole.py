"""One proof file from beginning to end, wherever it goes: what is asked for, who may, and the parts
in order."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from domain.shared.errors import InvalidInputError, UnavailableError
from ops.eventstore.client import Client
from ops.eventstore.envelope import Record
from ops.eventstore.loading import LogFiles
from ops.notary.evidence import (
    BATCH,
    Evidence,
    MovedOnError,
    Told,
    kept_evidence,
    made_evidence,
    read_history,
)
from ops.notary.exporting import (
    EVENTS,
    JobStory,
    Range,
    job_lines,
    path_before,
    range_lines,
    refuse_foreign,
)
from ops.notary.head_stream import HeadStream

STREAM = "IMEWE_EVENTS"
TRIES = 5
"""A head that is signed meanwhile moves the map on: then all proofs are made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A job, or the events from ``first`` to ``last`` (0: the end). ``places``: the organisations
    whose events may be shown; ``None``: all."""

    job_id: str = ""
    first: int = 1
    last: int = 0
    places: Collection[str] | None = None

    @classmethod
    def of(cls, asked: dict[str, Any], *, places: Collection[str] | None = None) -> Self:
        """From what a client says: ``job``, or ``from`` and ``to``.

        Raises ``InvalidInputError``.
        """
        job, first, last = asked.get("job", ""), asked.get("from", 1), asked.get("to", 0)
        if type(first) is not int or type(last) is not int or first < 1 or last < 0:
            raise InvalidInputError("from and to are positions, 1 and above", field="from")
        if not isinstance(job, str) or (job and ("from" in asked or "to" in asked)):
            raise InvalidInputError("say a job, or from and to, not both", field="job")
        return cls(job_id=job, first=first, last=last, places=places)

    @property
    def words(self) -> str:
        """What it is, as the audit trail names it."""
        return f"job/{self.job_id}" if self.job_id else f"events/{self.first}-{self.last or ''}"


def log_files(client: Client) -> LogFiles:
    """The log as it is stored, on a connection of the LOG account."""
    return LogFiles(client, direct_get=f"$JS.API.DIRECT.GET.{STREAM}", subjects=EVENTS)


def log_size(client: Client) -> int:
    """The newest sequence."""
    return int(client.api(f"STREAM.INFO.{STREAM}")["state"]["last_seq"])


def proof_file(
    client: Client, home: Path, wanted: Wanted, *, told: Told | None = None
) -> Iterator[bytes]:
    """The file in parts; empty ones say that there is work under way.

    What the notary keeps in ``home`` is used where it fits what was signed; with ``told``, both
    trees are made again where it does not, else ``UnavailableError``. Raises ``NotFoundError``,
    ``ForbiddenError``, ``InvalidInputError`` before the first part that is not empty.
    """
    if wanted.job_id:
        yield from _job(client, home, wanted, told)
    else:
        yield from _range(client, home, wanted, told)


def _job(client: Client, home: Path, wanted: Wanted, told: Told | None) -> Iterator[bytes]:
    log = log_files(client)
    for _ in range(TRIES):
        JobStory.demand(log, wanted.job_id, places=wanted.places)
        with _evidence(client, home, told) as evidence:
            story = JobStory.read(log, wanted.job_id)
            try:
                lines = job_lines(evidence, story, wanted.job_id, log_size=log_size(client))
            except MovedOnError:
                continue
        yield from lines
        return
    raise UnavailableError("heads are signed too fast for a proof", remedy="try again")


def _range(client: Client, home: Path, wanted: Wanted, told: Told | None) -> Iterator[bytes]:
    log = log_files(client)
    history = read_history(HeadStream(client))
    size = log_size(client)
    span = Range.of(history, first=wanted.first, last=wanted.last, log_size=size)
    if wanted.places is not None:
        for records in _stretches(log, span.first, span.last):
            refuse_foreign(records, wanted.places)
            yield b""
    path: list[bytes] = []
    if span.first > 1:
        with _evidence(client, home, told) as evidence:
            path = path_before(evidence, span.first)
    yield from range_lines(history, span, path, log)


def _stretches(log: LogFiles, first: int, last: int) -> Iterator[list[Record]]:
    while first <= last and (records := log.stretch(first, min(BATCH, last + 1 - first))):
        yield records
        first = records[-1].sequence + 1


@contextmanager
def _evidence(client: Client, home: Path, told: Told | None) -> Iterator[Evidence]:
    stream, log = HeadStream(client), log_files(client)
    with kept_evidence(home, stream) as kept:
        if kept is not None:
            yield kept
            return
    if told is None:
        raise UnavailableError("the notary is not ready to prove anything", remedy="try again")
    with made_evidence(stream, lambda after, limit: log.stretch(after + 1, limit), told) as made:
        yield made
