"""Snapshots: disposable, never a truth of their own. Loading works without any.

A snapshot is what one version of the domain's code folded. Another version may fold otherwise and
keep other attributes, so each snapshot names the code that made it and is ignored by any other:
after an upgrade an aggregate is folded from its events once more. The same happens when a snapshot
is not what was written: a digest goes with it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from eventsourcing.persistence import AggregateRecorder, StoredEvent

import domain
from ops.eventstore.client import Client, Publication, read_answer
from ops.eventstore.envelope import (
    HASH,
    Record,
    hash_of,
    head_block,
    record_of,
    time_text,
    token_of,
)
from ops.eventstore.heads import HeadCache
from ops.eventstore.stored import OutgoingEvent, read_event

KEPT = 10
OLDER = "Imewe-Snapshots"
"""Lists earlier snapshots of the aggregate as ``version:sequence``."""
CODE = "Imewe-Code"
"""Names the code that folded it: ``domain_code``."""

log = structlog.get_logger()


@cache
def domain_code() -> str:
    """A name for the domain as it is written now; any change of its text gives another."""
    digest = sha256()
    for folder in domain.__path__:
        for path in sorted(Path(folder).rglob("*.py")):
            text = path.read_bytes()
            digest.update(b"%s %d " % (str(path.relative_to(folder)).encode(), len(text)) + text)
    return digest.hexdigest()[:16]


class JetStreamSnapshotRecorder(AggregateRecorder):
    """Keeps the newest ten snapshots of each aggregate, written in any order of versions.

    The headers hold the event sequence and hash that the state includes, where they are known.
    """

    def __init__(
        self,
        client: Client,
        heads: HeadCache,
        *,
        stream: str,
        subjects: str,
        now: Callable[[], datetime],
        code: str = "",
    ) -> None:
        self._client = client
        self._heads = heads
        self._subjects = subjects
        self._direct_get = f"$JS.API.DIRECT.GET.{stream}"
        self._now = now
        self._code = code or domain_code()

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Store snapshots, one by one; the same one again is harmless."""
        for stored in stored_events:
            subject = f"{self._subjects}.{token_of(stored.originator_id)}"
            headers = self._headers(stored)
            headers[HASH] = _digest(subject, headers, stored.state)
            frame = Publication(subject, head_block(headers), stored.state)
            read_answer(self._client.publish([frame]))
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """This code's snapshots by version: a later one may tell of an older version."""
        last = self._last(originator_id)
        if last is None:
            return []
        places = _places(last)
        versions = sorted(
            (v for v in places if (gt is None or v > gt) and (lte is None or v <= lte)),
            reverse=desc,
        )
        chosen = [places[version] for version in versions]
        if limit == 1 and chosen[:1] == [last.sequence] and self._is_ours(last):
            return [read_event(last)]
        bodies = [b'{"seq":%d}' % sequence for sequence in chosen]
        found = self._client.request_each(self._direct_get, bodies)
        records = [record_of(message) for message in found if not message.status]
        good = [r for r in records if r.subject == last.subject and _is_whole(r)]
        return [read_event(record) for record in good if self._is_ours(record)][:limit]

    def _is_ours(self, record: Record) -> bool:
        return record.headers.get(CODE) == self._code

    def _last(self, originator_id: UUID | str) -> Record | None:
        subject = f"{self._subjects}.{token_of(originator_id)}"
        body = b'{"last_by_subj":"%b"}' % subject.encode()
        message = self._client.request(self._direct_get, body)
        if message.status:
            return None
        last = record_of(message)
        return last if last.subject == subject and _is_whole(last) else None

    def _headers(self, stored: StoredEvent) -> dict[str, str]:
        headers = {
            "Imewe-Version": str(stored.originator_version),
            "Imewe-Topic": stored.topic,
            "Imewe-Recorded": time_text(self._now()),
            OLDER: self._older(stored.originator_id),
            CODE: self._code,
        }
        if isinstance(stored, OutgoingEvent):
            headers["Imewe-Schema"] = str(stored.schema_version)
            headers["Imewe-Occurred"] = time_text(stored.occurred_at)
        head = self._heads.get(token_of(stored.originator_id))
        if head is not None and head.version == stored.originator_version:
            headers["Imewe-Prev"] = str(head.sequence)
            headers["Imewe-Prev-Hash"] = head.hash
        return headers

    def _older(self, originator_id: UUID | str) -> str:
        last = self._last(originator_id)
        places = sorted(_places(last).items(), key=lambda place: place[1]) if last else []
        return ",".join(f"{version}:{sequence}" for version, sequence in places[1 - KEPT :])


def _digest(subject: str, headers: Mapping[str, str], state: bytes) -> str:
    return hash_of(subject, headers, b"%b\n%b" % (headers[OLDER].encode(), state))


def _is_whole(record: Record) -> bool:
    """Whether it is as it was written; what is not is as good as not there."""
    headers = {OLDER: "", **record.headers}
    if headers.get(HASH) == _digest(record.subject, headers, record.body):
        return True
    log.warning("a damaged snapshot is left alone", subject=record.subject, at=record.sequence)
    return False


def _places(last: Record) -> dict[int, int]:
    """Version to sequence of the snapshots that may still be there."""
    listed = last.headers.get(OLDER, "")
    pairs = [entry.split(":") for entry in listed.split(",")] if listed else []
    return {int(version): int(sequence) for version, sequence in pairs} | {
        last.version: last.sequence
    }
