"""The stream of what the notary signed: heads of the log, and the keys they are signed with.

It is only ever added to, and every addition says which message it follows: of two notaries that
sign at the same time, one is refused and looks first at what the other wrote.
"""

from collections.abc import Iterator
from typing import NamedTuple

from domain.shared.errors import ConflictError, UnavailableError
from ops.eventstore.appending import WRONG_LAST_SEQUENCE
from ops.eventstore.client import Client, JetStreamError, Publication, read_answer
from ops.eventstore.envelope import head_block, record_of
from ops.eventstore.loading import END, MISSING
from ops.eventstore.streams import LogNames
from ops.eventstore.wire import ConnectionLostError, NoAnswerError

STRETCH = 500


class Signed(NamedTuple):
    """One message: its place in the stream, whether it is about keys, and the whole note."""

    sequence: int
    is_key: bool
    note: str


class HeadStream:
    """Reads and adds notes. Safe to share by threads."""

    def __init__(self, client: Client, *, names: LogNames | None = None) -> None:
        names = names or LogNames()
        self._client = client
        self._get = f"$JS.API.DIRECT.GET.{names.heads_stream}"
        self._info = f"STREAM.INFO.{names.heads_stream}"
        self._head = f"{names.heads_subjects}.head"
        self._keys = f"{names.heads_subjects}.keys"

    def after(self, sequence: int) -> Iterator[Signed]:
        """All notes behind a place in the stream, in order."""
        while found := self.stretch(sequence + 1, STRETCH):
            yield from found
            sequence = found[-1].sequence

    def stretch(self, first: int, limit: int) -> list[Signed]:
        """Up to ``limit`` notes from a place in the stream on."""
        body = b'{"seq":%d,"batch":%d}' % (max(1, first), limit)
        *found, end = self._client.request_many(self._get, body)
        if end.status not in (END, MISSING):
            raise UnavailableError(f"the stream of heads breaks off with status {end.status}")
        records = [record_of(message) for message in found]
        return [
            Signed(each.sequence, each.subject == self._keys, each.body.decode(errors="replace"))
            for each in records
        ]

    def newest(self, *, before: int | None, limit: int) -> list[Signed]:
        """Up to ``limit`` notes with places below ``before``, the newest first."""
        before = self._end() + 1 if before is None else before
        first = max(1, before - limit)
        found = self.stretch(first, before - first) if before > first else []
        return [each for each in reversed(found) if each.sequence < before]

    def append(self, note: str, *, is_key: bool, after: int) -> int:
        """Add a note behind the message at ``after`` and return its place.

        Raises ``ConflictError`` when another message came first, and ``UnavailableError`` when it
        cannot be known what became of it.
        """
        head = head_block({"Nats-Expected-Last-Sequence": str(after)})
        frame = Publication(self._keys if is_key else self._head, head, note.encode())
        try:
            return int(read_answer(self._client.publish([frame]))["seq"])
        except (ConnectionLostError, NoAnswerError):
            return self._outcome(note, after)
        except JetStreamError as error:
            if error.number not in WRONG_LAST_SEQUENCE:
                raise
            raise ConflictError("another notary signed first") from error

    def _end(self) -> int:
        return int(self._client.api(self._info)["state"]["last_seq"])

    def _outcome(self, note: str, after: int) -> int:
        for found in self.stretch(after + 1, 1):
            if found.note == note:
                return found.sequence
            raise ConflictError("another notary signed first")
        raise UnavailableError("nothing was signed: the stream of heads did not answer")
