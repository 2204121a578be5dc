"""A small blocking NATS client for the event store.

The recorder is called from many threads and must be cheap: nats-py with a loop in a thread of its
own costs seven times the processor time per append. Every call borrows a connection of its own
from a pool, so calls never wait for one another; the pool grows to the number of concurrent calls.
"""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import orjson

from domain.shared.errors import UnavailableError
from ops.eventstore.wakeup import WakeUp
from ops.eventstore.wire import (
    Address,
    Connection,
    ConnectionLostError,
    Message,
    publication,
)

IDLE_CHECK_S = 1.0
PIPELINE = 256

T = TypeVar("T")


class NoRespondersError(UnavailableError):
    """Nobody listens on the subject: no such stream, or its server is not ready yet."""


class JetStreamError(UnavailableError):
    """JetStream refused. ``number`` is its own error code (10071 and so on)."""

    def __init__(self, number: int, description: str) -> None:
        super().__init__(f"JetStream refuses: {description} ({number})")
        self.number = number
        self.description = description


class Publication(NamedTuple):
    """One message to publish; ``head`` is a whole header block or empty."""

    subject: str
    head: bytes
    body: bytes


class Client:
    """Requests, atomic batches and wake-ups over blocking sockets. Safe to share by threads.

    ``timeout`` (seconds) bounds every call. Reads are sent again after a lost connection until
    then; publishing is not: its outcome is unknown and the caller must look.
    """

    def __init__(self, address: Address, *, timeout: float = 5.0) -> None:
        self.address = address
        self.timeout = timeout
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._lock = threading.Lock()
        self._closed = False

    def request(self, subject: str, body: bytes = b"") -> Message:
        """One request, one reply. Raises ``NoRespondersError``."""
        return self._reading(lambda c, until: ask(c, subject, body, until))

    def request_many(self, subject: str, body: bytes) -> list[Message]:
        """One request, replies until the one with a status (204 EOB, 404 none, 408 ...)."""
        return self._reading(lambda c, until: _request_many(c, subject, body, until))

    def request_each(self, subject: str, bodies: Sequence[bytes]) -> list[Message]:
        """Many requests in one burst; the replies in the order of the requests."""
        parts = [bodies[at : at + PIPELINE] for at in range(0, len(bodies), PIPELINE)]
        found = [self._reading(partial(_burst, subject=subject, bodies=part)) for part in parts]
        return [message for answered in found for message in answered]

    def begin(self, subject: str, body: bytes) -> "Pending":
        """Ask as ``request_many`` does, and let the caller do something else meanwhile."""
        until = time.monotonic() + self.timeout
        connection = self._take(until)
        reply = connection.next_reply()
        try:
            connection.send(publication(subject, body, reply=reply))
        except BaseException:
            self.drop(connection)
            raise
        return Pending(self, connection, reply)

    def publish(self, publications: Sequence[Publication]) -> Message:
        """Send all in one write; the answer is to the last.

        ``ConnectionLostError`` and ``NoAnswerError`` mean: nobody knows. All other errors mean
        that nothing was stored.
        """
        until = time.monotonic() + self.timeout
        connection = self._take(until)
        try:
            message = _publish(connection, publications, until)
        except BaseException:
            self.drop(connection)
            raise
        self._give(connection)
        return message

    def api(self, verb: str, payload: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the JetStream API; ``verb`` is what follows ``$JS.API.``.

        Raises ``JetStreamError``. The request may be sent twice when a connection is lost.
        """
        body = orjson.dumps(payload) if payload is not None else b""
        return read_answer(self.request(f"$JS.API.{verb}", body))

    def subscribe(self, subject: str) -> WakeUp:
        """A wake-up on a subject, with a connection of its own as soon as it begins."""
        return WakeUp(self.address, subject, timeout=self.timeout)

    def lend(self) -> Connection:
        """A connection for a conversation of its own, until ``drop`` or ``close`` ends it."""
        return self._connect(time.monotonic() + self.timeout)

    def drop(self, connection: Connection) -> None:
        """Close one of this client's connections."""
        with self._lock:
            self._open.discard(connection)
        connection.close()

    def close(self) -> None:
        """Close every connection; calls under way in other threads fail."""
        with self._lock:
            self._closed = True
            connections, self._open = self._open, set()
            self._idle.clear()
        for connection in connections:
            connection.close()

    def _reading(self, ask: Callable[[Connection, float], T]) -> T:
        until = time.monotonic() + self.timeout
        pause = 0.02
        while True:
            try:
                return self._once(ask, until)
            except ConnectionLostError:
                if self._closed or time.monotonic() + pause > until:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, 0.5)

    def _once(self, ask: Callable[[Connection, float], T], until: float) -> T:
        connection = self._take(until)
        try:
            result = ask(connection, until)
        except BaseException:
            self.drop(connection)
            raise
        self._give(connection)
        return result

    def _take(self, until: float) -> Connection:
        while True:
            with self._lock:
                if self._closed:
                    raise UnavailableError("the client is closed")
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._connect(until)
            if time.monotonic() - connection.last_used < IDLE_CHECK_S or self._alive(connection):
                return connection

    def _connect(self, until: float) -> Connection:
        connection = Connection(self.address, until)
        with self._lock:
            if not self._closed:
                self._open.add(connection)
                return connection
        connection.close()
        raise UnavailableError("the client is closed")

    def _alive(self, connection: Connection) -> bool:
        """The server ends connections that leave its PING unanswered: look before use."""
        try:
            connection.drain()
        except ConnectionLostError:
            self.drop(connection)
            return False
        return True

    def _give(self, connection: Connection) -> None:
        connection.last_used = time.monotonic()
        with self._lock:
            self._idle.append(connection)


class Pending:
    """A question that was asked. Take its answers or abandon it, once."""

    def __init__(self, client: Client, connection: Connection, reply: str) -> None:
        self._client = client
        self._connection = connection
        self._reply = reply

    def messages(self) -> list[Message]:
        """The replies as ``request_many`` gives them. A lost connection is not asked again."""
        until = time.monotonic() + self._client.timeout
        try:
            found = _replies(self._connection, self._reply, until)
        except BaseException:
            self.abandon()
            raise
        self._client._give(self._connection)  # noqa: SLF001 - one thing in two classes
        return found

    def abandon(self) -> None:
        """Close the connection; its replies go with it."""
        self._client.drop(self._connection)


def read_answer(message: Message) -> dict[str, Any]:
    """Read a JetStream answer; raises ``JetStreamError`` when it is a refusal."""
    answer: dict[str, Any] = orjson.loads(message.body)
    if error := answer.get("error"):
        raise JetStreamError(error.get("err_code", error["code"]), error.get("description", ""))
    return answer


def _reply_to(connection: Connection, reply: str, until: float) -> Message:
    while (message := connection.receive(until)).subject != reply:
        pass  # a late answer to an earlier caller
    if message.status == 503:
        raise NoRespondersError("nobody answers there")
    return message


def ask(connection: Connection, subject: str, body: bytes, until: float) -> Message:
    """One request on a connection, one reply. Raises ``NoRespondersError``."""
    reply = connection.next_reply()
    connection.send(publication(subject, body, reply=reply))
    return _reply_to(connection, reply, until)


def _request_many(connection: Connection, subject: str, body: bytes, until: float) -> list[Message]:
    reply = connection.next_reply()
    connection.send(publication(subject, body, reply=reply))
    return _replies(connection, reply, until)


def _replies(connection: Connection, reply: str, until: float) -> list[Message]:
    found = [_reply_to(connection, reply, until)]
    while not found[-1].status:
        found.append(_reply_to(connection, reply, until))
    return found


def _burst(
    connection: Connection, until: float, *, subject: str, bodies: Sequence[bytes]
) -> list[Message]:
    replies = [connection.next_reply() for _ in bodies]
    connection.send(
        b"".join(
            publication(subject, body, reply=reply)
            for body, reply in zip(bodies, replies, strict=True)
        )
    )
    wanted = set(replies)
    found: dict[str, Message] = {}
    while wanted:
        message = connection.receive(until)
        if message.subject not in wanted:
            continue
        if message.status == 503:
            raise NoRespondersError("nobody answers there")
        wanted.remove(message.subject)
        found[message.subject] = message
    return [found[reply] for reply in replies]


def _publish(connection: Connection, publications: Sequence[Publication], until: float) -> Message:
    reply = connection.next_reply()
    *first, last = publications
    frames = [publication(p.subject, p.body, head=p.head) for p in first]
    frames.append(publication(last.subject, last.body, reply=reply, head=last.head))
    connection.send(b"".join(frames))
    return _reply_to(connection, reply, until)
