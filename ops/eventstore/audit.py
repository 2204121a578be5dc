"""The audit trail's stream: one subject, one chain, any number of writers that never fork it.

Its records have the form of the log's (``envelope``), so that ``chain.verify`` checks both. Old
ones make room after 400 days or 256 MiB; a check then begins with the oldest that is left.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple

from commands.auditing.entry import Entry
from commands.auditing.trail import Written
from domain.shared.errors import UnavailableError
from ops.eventstore.appending import WRONG_LAST_SEQUENCE
from ops.eventstore.client import (
    Client,
    JetStreamError,
    NoRespondersError,
    Publication,
    read_answer,
)
from ops.eventstore.envelope import (
    HASH,
    Record,
    event_id,
    hash_of,
    head_block,
    time_text,
)
from ops.eventstore.loading import LogFiles
from ops.eventstore.wire import ConnectionLostError, NoAnswerError

STREAM = "IMEWE_AUDIT"
SUBJECT = "imewe.audit.log"
TOPIC = "imewe.audit:Recorded"
STRETCH = 500


class _Head(NamedTuple):
    """The newest record."""

    sequence: int
    version: int
    hash: str


class AuditStream:
    """``AuditLog`` on the stream. ``patience`` (seconds) bounds a write."""

    def __init__(
        self, client: Client, *, now: Callable[[], datetime], patience: float = 2.0
    ) -> None:
        self._client = client
        self._now = now
        self._patience = patience
        self._files = LogFiles(client, direct_get=f"$JS.API.DIRECT.GET.{STREAM}", subjects="imewe")
        self._turn = threading.Lock()
        self._head: _Head | None = None

    def append(self, entry: Entry, *, name: str) -> bool:
        """Record durably; False when one of that name was recorded in the last two minutes.

        The server remembers names for that long, for all copies of the writer. Raises
        ``UnavailableError``; the entry may be there all the same.
        """
        with self._turn:
            return self._append(entry, name)

    def newest(self, *, before: int | None, limit: int) -> list[Written]:
        """Up to ``limit`` entries with sequences below ``before``, the newest first."""
        if before is None:
            head = self._look()
            before = head.sequence + 1
        first = max(1, before - limit)
        found = self._files.stretch(first, before - first) if before > first else []
        return [
            Written(record.sequence, Entry.of(record.body), record.hash)
            for record in reversed(found)
            if record.sequence < before
        ]

    def records(self) -> Iterator[Record]:
        """All that is left, as it is stored, the oldest first; for ``chain.verify``."""
        after = 0
        while found := self._files.stretch(after + 1, STRETCH):
            yield from found
            after = found[-1].sequence

    def _append(self, entry: Entry, name: str) -> bool:
        until = time.monotonic() + self._patience
        sent: set[str] = set()
        while True:
            try:
                head = self._head or self._look()
                frame, written = self._frame(entry, name, head)
                sent.add(written.hash)
                answer = read_answer(self._client.publish([frame]))
            except (ConnectionLostError, NoAnswerError, NoRespondersError) as error:
                self._head = None
                reason: Exception = error
            except JetStreamError as error:
                self._head = None
                if error.number not in WRONG_LAST_SEQUENCE:
                    raise
                reason = error
            else:
                if answer.get("duplicate"):
                    return self._is_ours(int(answer["seq"]), sent)
                self._head = written._replace(sequence=int(answer["seq"]))
                return True
            if time.monotonic() > until:
                raise UnavailableError("the audit trail cannot be written") from reason
            time.sleep(random.uniform(0.002, 0.02))

    def _is_ours(self, sequence: int, sent: set[str]) -> bool:
        """A name that is known already was ours when an earlier try was stored unanswered."""
        (record,) = self._files.exact([sequence])
        self._head = None
        return record.hash in sent

    def _look(self) -> _Head:
        last = self._files.last("log", kind="audit")
        return _Head(last.sequence, last.version, last.hash) if last else _Head(0, 0, "")

    def _frame(self, entry: Entry, name: str, head: _Head) -> tuple[Publication, _Head]:
        version, body = head.version + 1, entry.body()
        headers = {
            "Imewe-Version": str(version),
            "Imewe-Topic": TOPIC,
            "Imewe-Prev": str(head.sequence or ""),
            "Imewe-Event": event_id("audit", version),
            "Imewe-Org": entry.organisation_id,
            "Imewe-Occurred": time_text(entry.at),
            "Imewe-Recorded": time_text(self._now()),
            "Imewe-Prev-Hash": head.hash,
        }
        headers[HASH] = digest = hash_of(SUBJECT, headers, body)
        headers["Nats-Msg-Id"] = name
        headers["Nats-Expected-Last-Subject-Sequence"] = str(head.sequence)
        return Publication(SUBJECT, head_block(headers), body), _Head(0, version, digest)
