"""Writes to the log: one publish for one event, one atomic batch for several."""

import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from secrets import token_hex
from typing import NamedTuple

from eventsourcing.persistence import IntegrityError, ProgrammingError, StoredEvent

from domain.shared.errors import InvalidInputError, StorageFullError, UnavailableError
from domain.shared.recorded import Envelope
from ops import failpoints
from ops.eventstore.client import (
    Client,
    JetStreamError,
    NoRespondersError,
    Publication,
    read_answer,
)
from ops.eventstore.envelope import (
    HASH,
    event_id,
    hash_of,
    head_block,
    headers_of,
    kind_of,
    previous_text,
    time_text,
    token_of,
)
from ops.eventstore.heads import Head, HeadCache, advanced, head_of
from ops.eventstore.loading import LogFiles
from ops.eventstore.stored import OutgoingEvent
from ops.eventstore.wire import ConnectionLostError, NoAnswerError

BATCH_LIMIT = 1000
WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
TOO_MANY_BATCHES = frozenset({10210, 10176})
NO_SPACE = frozenset({10002, 10023, 10047, 10077})
LARGEST_BODY = 1_000_000
"""Bytes; nats-server takes 1 MiB with the headers and ends the connection above."""


class _Planned(NamedTuple):
    """One event ready to be published; ``expected`` is empty but on a subject's first."""

    token: str
    subject: str
    headers: dict[str, str]
    body: bytes
    expected: str

    @property
    def version(self) -> int:
        return int(self.headers["Imewe-Version"])


class _Plan(NamedTuple):
    events: list[_Planned]
    heads: dict[str, Head]
    guessed: bool
    """Whether an aggregate was taken to be new without a look."""


class Appender:
    """Plans, publishes, and finds out what became of a publish that nobody answered.

    ``patience`` (seconds) bounds how long a save is tried again while the server is away or has
    too many batches open; after that ``UnavailableError`` says whether the outcome is known.
    """

    def __init__(
        self,
        client: Client,
        files: LogFiles,
        heads: HeadCache,
        *,
        subjects: str,
        now: Callable[[], datetime],
        patience: float = 10.0,
    ) -> None:
        self._client = client
        self._files = files
        self._heads = heads
        self._subjects = subjects
        self._now = now
        self._patience = patience

    def append(self, events: Sequence[StoredEvent], envelope: Envelope | None) -> list[int]:
        """Record all events or none; their stream sequences.

        Raises the library's ``IntegrityError`` when an aggregate has moved on,
        ``StorageFullError`` and ``UnavailableError`` when the log cannot take them.
        """
        if not events:
            return []
        if len(events) > BATCH_LIMIT:
            raise ProgrammingError(f"{len(events)} events in one save; the limit is {BATCH_LIMIT}")
        plan = self._plan(events, envelope, look=False)
        failpoints.reach("commands.append.before")
        try:
            return self._commit(plan)
        except IntegrityError:
            if not plan.guessed:
                raise
        return self._commit(self._plan(events, envelope, look=True))

    def _commit(self, plan: _Plan) -> list[int]:
        try:
            last = self._publish(plan)
        except IntegrityError:
            for token in plan.heads:
                self._heads.forget(token)
            raise
        first = last - len(plan.events) + 1
        for token, head in plan.heads.items():
            self._heads.put(token, _settled(head, first))
        failpoints.reach("commands.append.after")
        return list(range(first, last + 1))

    def _publish(self, plan: _Plan) -> int:
        """The sequence of the plan's last event."""
        until = time.monotonic() + self._patience
        unknown = False
        while True:
            try:
                return int(read_answer(self._client.publish(_frames(plan)))["seq"])
            except (ConnectionLostError, NoAnswerError) as error:
                reason: Exception = error
                unknown = True
            except NoRespondersError as error:
                reason = error
            except JetStreamError as error:
                if error.number in WRONG_LAST_SEQUENCE and unknown:
                    return self._own(plan)
                _refuse(error)
                reason = error
            if time.monotonic() > until:
                known = "it is not known whether it was recorded" if unknown else "nothing recorded"
                raise UnavailableError(f"the event log does not answer; {known}") from reason
            time.sleep(random.uniform(0.005, 0.05))

    def _own(self, plan: _Plan) -> int:
        """After a publish that nobody answered, something stands in its place: perhaps ours."""
        mine = plan.events[-1]
        last = self._files.last(mine.token)
        if last is not None and last.version >= mine.version:
            (found,) = self._files.history(last, above=mine.version - 1, down_from=mine.version)
            if found.hash == mine.headers[HASH]:
                return found.sequence
        raise IntegrityError(f"aggregate {mine.token} was changed meanwhile")

    def _plan(
        self, events: Sequence[StoredEvent], envelope: Envelope | None, *, look: bool
    ) -> _Plan:
        given = headers_of(envelope)
        recorded = time_text(self._now())
        heads: dict[str, Head] = {}
        planned: list[_Planned] = []
        guessed = False
        for index, stored in enumerate(events):
            if len(stored.state) > LARGEST_BODY:
                raise InvalidInputError(f"an event of {len(stored.state)} bytes is too large")
            token = token_of(stored.originator_id)
            head = heads.get(token)
            expected = ""
            if head is None:
                head, guess = self._head(stored, token, look=look)
                guessed = guessed or guess
                expected = str(head.sequence)
            if stored.originator_version != head.version + 1:
                raise IntegrityError(
                    f"aggregate {token} is at version {head.version}, "
                    f"not before {stored.originator_version}"
                )
            headers = _headers(stored, token, head, index, given, recorded)
            headers[HASH] = hash_of(head.subject, headers, stored.state)
            planned.append(_Planned(token, head.subject, headers, stored.state, expected))
            heads[token] = advanced(head, sequence=-1 - index, digest=headers[HASH])
        return _Plan(planned, heads, guessed)

    def _head(self, stored: StoredEvent, token: str, *, look: bool) -> tuple[Head, bool]:
        """The head before this event, and whether it was guessed to be that of a new aggregate."""
        version = stored.originator_version
        head = None if look else self._heads.get(token)
        if head is not None and head.version >= version - 1:
            return head, False
        new = Head(f"{self._subjects}.{kind_of(stored.topic)}.{token}", version - 1, 0, "", ())
        if head is None and version in (0, 1) and not look:
            return new, True
        last = self._files.last(token)
        if last is not None:
            head = head_of(last)
            self._heads.put(token, head)
            return head, False
        if version not in (0, 1):
            raise IntegrityError(f"aggregate {token} has no events before version {version}")
        return new, False


def _headers(
    stored: StoredEvent,
    token: str,
    head: Head,
    index: int,
    given: dict[str, str],
    recorded: str,
) -> dict[str, str]:
    headers = {
        "Imewe-Version": str(stored.originator_version),
        "Imewe-Topic": stored.topic,
        "Imewe-Prev": previous_text(head.trail, index),
        "Imewe-Event": event_id(token, stored.originator_version),
        **given,
        "Imewe-Recorded": recorded,
        "Imewe-Prev-Hash": head.hash,
    }
    if isinstance(stored, OutgoingEvent):
        headers["Imewe-Schema"] = str(stored.schema_version)
        headers.setdefault("Imewe-Occurred", time_text(stored.occurred_at))
    return headers


def _frames(plan: _Plan) -> list[Publication]:
    """A batch of one would cost the server a temporary store on disk: publish it plainly."""
    count = len(plan.events)
    batch = token_hex(6) if count > 1 else ""
    frames = []
    for number, event in enumerate(plan.events, start=1):
        headers = dict(event.headers)
        if event.expected:
            headers["Nats-Expected-Last-Subject-Sequence"] = event.expected
        if batch:
            headers["Nats-Batch-Id"] = batch
            headers["Nats-Batch-Sequence"] = str(number)
            headers["Nats-Batch-Commit"] = "1" if number == count else ""
        frames.append(Publication(event.subject, head_block(headers), event.body))
    return frames


def _settled(head: Head, first: int) -> Head:
    """Put stream sequences in the place of a batch's own numbers."""
    trail = tuple(entry if entry > 0 else first - 1 - entry for entry in head.trail)
    return head._replace(sequence=trail[-1], trail=trail)


def _refuse(error: JetStreamError) -> None:
    """Raise what a refusal means, or return when it may be tried again."""
    if error.number in WRONG_LAST_SEQUENCE:
        raise IntegrityError(error.description) from error
    if error.number in NO_SPACE:
        raise StorageFullError(
            "the event log has no space; nothing was recorded",
            remedy="free space on the disk of the log; the supervisor restarts the server",
        ) from error
    if error.number not in TOO_MANY_BATCHES:
        raise error
