"""Reads a long run of the log, in order, through a consumer that the server forgets again.

To an answer of a direct get the server adds six headers, each into a new copy of the message: that
costs it four times what a consumer's message costs. Only users of the LOG account may make
consumers. Whatever goes wrong ends the run, and its reader goes on with direct gets.
"""

import contextlib
import time
from collections import deque
from secrets import token_hex

import orjson

from domain.shared.errors import UnavailableError
from ops.eventstore.client import Client, ask, read_answer
from ops.eventstore.raw import RawEvent
from ops.eventstore.wire import publication

PULL = 500
"""Events in one request; one more request is always under way."""

PLAIN_WORDS = 9

IDLE_NS = 30_000_000_000
"""The server forgets the consumer when nobody pulled for so long."""

FORGET_S = 1.0
"""How long the end of a run may wait for the server to hear of it."""


class Scan:
    """The events behind ``after``, as far as they were there when they were asked for."""

    def __init__(self, client: Client, stream: str, *, after: int) -> None:
        """Raises ``UnavailableError`` when there can be no consumer."""
        self._client = client
        self._stream = stream
        self._name = f"scan-{token_hex(8)}"
        self._timeout = client.timeout
        self._after = after
        self._delivered = 0
        self._asked = 0
        self._ended = False
        self._found: deque[RawEvent] = deque()
        self._connection = client.lend()
        try:
            self._create()
            self._pull()
            self._pull()
        except BaseException:
            client.drop(self._connection)
            raise

    @property
    def after(self) -> int:
        """The sequence behind which ``take`` goes on."""
        return self._after

    def take(self, count: int) -> list[RawEvent]:
        """The next events; fewer than ``count`` when the run has ended."""
        found = self._found
        while len(found) < count and not self._ended:
            try:
                self._receive()
            except UnavailableError:
                self._ended = True
        taken = [found.popleft() for _ in range(min(count, len(found)))]
        if taken:
            self._after = taken[-1].sequence
        return taken

    def close(self) -> None:
        """Let the server forget the consumer now.

        What was delivered and not taken is read first: a socket that is closed over unread bytes
        is reset, and the server may lose the word before it.
        """
        gone = publication(f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._name}", b"")
        with contextlib.suppress(UnavailableError):  # then it forgets it later
            self._connection.send(gone)
            self._connection.flush(time.monotonic() + FORGET_S)
        self._client.drop(self._connection)

    def _create(self) -> None:
        wanted = {
            "stream_name": self._stream,
            "config": {
                "name": self._name,
                "deliver_policy": "by_start_sequence",
                "opt_start_seq": self._after + 1,
                "ack_policy": "none",
                "mem_storage": True,
                "num_replicas": 1,
                "inactive_threshold": IDLE_NS,
            },
        }
        subject = f"$JS.API.CONSUMER.CREATE.{self._stream}.{self._name}"
        read_answer(ask(self._connection, subject, orjson.dumps(wanted), self._until()))

    def _pull(self) -> None:
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}"
        wanted = b'{"batch":%d,"no_wait":true}' % PULL
        reply = self._connection.next_reply()
        self._connection.send(publication(subject, wanted, reply=reply))
        self._asked += PULL

    def _receive(self) -> None:
        """Take what came. Where an answer to it would go, if anybody gave one, tells an event's
        place: its stream sequence, its number among our deliveries, and its time."""
        found, delivered = self._found, self._delivered
        for subject, reply, head, body in self._connection.receive_ready(self._until()):
            words = reply.split(".")
            if len(words) < PLAIN_WORDS:  # a status: no more for now, or no consumer any more
                self._ended = True
                return
            at = 5 if len(words) == PLAIN_WORDS else 7  # behind a domain and an account
            delivered += 1
            if int(words[at + 1]) != delivered:
                raise UnavailableError(f"delivery {delivered} of a run is missing")
            found.append(RawEvent(int(words[at]), int(words[at + 2]), subject, head, body))
        self._delivered = delivered
        if self._asked - delivered <= PULL:
            self._pull()

    def _until(self) -> float:
        return time.monotonic() + self._timeout
