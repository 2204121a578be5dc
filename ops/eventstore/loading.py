"""Reads the log by exact sequences; nothing here scans it."""

from collections.abc import Sequence

from domain.shared.errors import UnavailableError
from ops.eventstore.client import Client, Pending
from ops.eventstore.envelope import Record, record_of
from ops.eventstore.raw import RawEvent, raw_of
from ops.eventstore.wire import Message

MISSING = 404
END = 204


class LogFiles:
    """Direct reads of one stream. ``direct_get`` is the subject that answers them."""

    def __init__(self, client: Client, *, direct_get: str, subjects: str) -> None:
        self._client = client
        self._direct_get = direct_get
        self._subjects = subjects

    def last(self, token: str, *, kind: str = "*") -> Record | None:
        """The newest record of an aggregate; the kind need not be known."""
        body = b'{"last_by_subj":"%b.%b.%b"}' % (
            self._subjects.encode(),
            kind.encode(),
            token.encode(),
        )
        message = self._client.request(self._direct_get, body)
        return None if message.status == MISSING else record_of(message)

    def stretch(self, first: int, limit: int) -> list[Record]:
        """Up to ``limit`` records from the sequence ``first`` on, in order."""
        return _records(self._client.request_many(self._direct_get, _wanted(first, limit)))

    def raw_stretch(self, first: int, limit: int) -> list[RawEvent]:
        """The same, with headers that were not taken apart yet."""
        return _raw(self._client.request_many(self._direct_get, _wanted(first, limit)))

    def begin_stretch(self, first: int, limit: int) -> Pending:
        """Ask for that and go on; ``finish_stretch`` gives it."""
        return self._client.begin(self._direct_get, _wanted(first, limit))

    def finish_stretch(self, pending: Pending) -> list[RawEvent]:
        """What was asked for."""
        return _raw(pending.messages())

    def exact(self, sequences: Sequence[int]) -> list[Record]:
        """These records, in one burst."""
        bodies = [b'{"seq":%d}' % sequence for sequence in sequences]
        found = self._client.request_each(self._direct_get, bodies)
        for sequence, message in zip(sequences, found, strict=True):
            if message.status:
                raise UnavailableError(f"the log does not hold sequence {sequence}")
        return [record_of(message) for message in found]

    def history(self, last: Record, *, above: int, down_from: int) -> list[Record]:
        """An aggregate's records with versions in ``(above, down_from]``, the oldest first.

        ``last`` is the aggregate's newest record. Its header leads to at most the window before
        it, and the oldest of those to the window before that, as far back as is asked.
        """
        places = {last.version: last.sequence}
        known = {last.sequence: last}
        oldest = last
        while oldest.previous and oldest.version > above + 1:
            earlier = oldest.previous
            for steps, sequence in enumerate(reversed(earlier), start=1):
                places[oldest.version - steps] = sequence
            if oldest.version - len(earlier) <= above + 1:
                break
            (oldest,) = self.exact([earlier[0]])
            known[oldest.sequence] = oldest
        wanted = [places[v] for v in sorted(places) if above < v <= down_from]
        missing = [sequence for sequence in wanted if sequence not in known]
        known.update({record.sequence: record for record in self.exact(missing)})
        return [known[sequence] for sequence in wanted]


def _wanted(first: int, limit: int) -> bytes:
    return b'{"seq":%d,"batch":%d}' % (max(1, first), limit)


def _records(answered: Sequence[Message]) -> list[Record]:
    return [record_of(message) for message in _found(answered)]


def _raw(answered: Sequence[Message]) -> list[RawEvent]:
    return [raw_of(message) for message in _found(answered)]


def _found(answered: Sequence[Message]) -> Sequence[Message]:
    *found, end = answered
    if end.status not in (END, MISSING):
        raise UnavailableError(f"the log breaks off a read with status {end.status}")
    return found
