"""Reads stream `IMEWE_TELEMETRY` in its order, by sequence: for whoever must miss nothing."""

from typing import Final

from ops.eventstore.client import Client, Pending
from ops.eventstore.raw import RawEvent, raw_of
from ops.eventstore.wakeup import WakeUp
from ops.eventstore.wire import ConnectionLostError, Message, NoAnswerError

STREAM: Final = "IMEWE_TELEMETRY"
SUBJECTS: Final = "imewe.telemetry"
_GET: Final = f"$JS.API.DIRECT.GET.{STREAM}"
_BYTES: Final = 4 << 20
"""Of one answer: a message may be a megabyte, and many of them shall not fill the memory."""


class TelemetryStream:
    """One caller at a time. The user needs direct gets of the stream and its subjects.

    `Client` is the event store's own; close it after this.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ahead: tuple[int, int, Pending] | None = None
        self._wake_up: WakeUp | None = None

    def identity(self) -> str:
        """The stream's name and when it was made: one that is made again counts from 1."""
        info = self._client.api(f"STREAM.INFO.{STREAM}")
        return f"{STREAM} {info['created']}"

    def last(self) -> int:
        """The sequence of the newest message."""
        return int(self._client.api(f"STREAM.INFO.{STREAM}")["state"]["last_seq"])

    def read(self, after: int, limit: int = 256) -> list[RawEvent]:
        """Up to `limit` messages behind a sequence; empty at the end. The next are asked for
        meanwhile."""
        self._listen()
        found = self._asked_before(after, limit)
        if found is None:
            found = self._client.request_many(_GET, _wanted(after, limit))
        messages = [raw_of(message) for message in found if not message.status]
        if len(messages) > limit // 2:
            last = messages[-1].sequence
            self._ahead = last, limit, self._client.begin(_GET, _wanted(last, limit))
        return messages

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for a sign that there is more."""
        self._forget_ahead()
        return self._listen().wait(timeout)

    def stop(self) -> None:
        """End a waiting `wait` of another thread, and all later ones at once."""
        if self._wake_up is not None:
            self._wake_up.stop()

    def close(self) -> None:
        """Close what was opened here."""
        self._forget_ahead()
        if self._wake_up is not None:
            self._wake_up.stop()

    def _asked_before(self, after: int, limit: int) -> list[Message] | None:
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return None
        if ahead[:2] != (after, limit):
            ahead[2].abandon()
            return None
        try:
            return ahead[2].messages()
        except (ConnectionLostError, NoAnswerError):
            return None

    def _forget_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead[2].abandon()
            self._ahead = None

    def _listen(self) -> WakeUp:
        """Before the first read, or a message between the two would be missed."""
        if self._wake_up is None:
            self._wake_up = self._client.subscribe(f"{SUBJECTS}.*")
        return self._wake_up


def _wanted(after: int, limit: int) -> bytes:
    return b'{"seq":%d,"batch":%d,"max_bytes":%d}' % (after + 1, limit, _BYTES)
