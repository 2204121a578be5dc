"""The NATS client protocol on one blocking socket.

Only what the event store needs: CONNECT with user and password, PUB, HPUB, SUB, MSG, HMSG, PING
and PONG. The server may send INFO, PING or -ERR at any time, so every read expects them.
"""

import contextlib
import json
import socket
import time
from dataclasses import dataclass
from secrets import token_hex
from typing import NamedTuple

from domain.shared.errors import ForbiddenError, UnavailableError

CHUNK = 65536
"""Bytes in one read: what is larger would be a fresh piece of memory from the system each time."""
SEND_S = 5.0
"""How long the server may take none of what is sent."""


class ConnectionLostError(UnavailableError):
    """The connection ended; what was sent may have been obeyed."""


class NoAnswerError(UnavailableError):
    """No answer came in time; what was sent may have been obeyed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a nats-server listens and as whom to log in; an empty user means no log-in."""

    host: str
    port: int
    user: str = ""
    password: str = ""


class Message(NamedTuple):
    """One message as it came: ``head`` is the raw header block, empty when there was none."""

    subject: str
    reply: str
    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        """The status of a ``NATS/1.0 503 ...`` line, or 0."""
        return int(self.head[9:12]) if self.head[8:9] == b" " else 0


def parse_headers(head: bytes) -> dict[str, str]:
    """Read a header block. The values of a name that occurs twice are joined by a comma.

    The server's own values begin with a space, ours do not.
    """
    lines = head.decode(errors="replace").split("\r\n")[1:-2]
    pairs = [line.split(":", 1) for line in lines]
    headers: dict[str, str] = dict(pairs)
    if len(headers) < len(pairs):
        return {name: ",".join(v for n, v in pairs if n == name) for name in headers}
    return headers


def publication(subject: str, body: bytes, *, reply: str = "", head: bytes = b"") -> bytes:
    """Frame one PUB or HPUB."""
    target = f"{subject} {reply}" if reply else subject
    if head:
        first = f"HPUB {target} {len(head)} {len(head) + len(body)}\r\n"
    else:
        first = f"PUB {target} {len(body)}\r\n"
    return b"%b%b%b\r\n" % (first.encode(), head, body)


class Connection:
    """One connection, used by one caller at a time. Times are ``time.monotonic`` seconds."""

    def __init__(self, address: Address, deadline: float) -> None:
        self._buffer = b""
        self._at = 0
        self._replies = 0
        self.last_used = time.monotonic()
        self.inbox = f"{inbox_prefix(address.user)}.{token_hex(8)}"
        try:
            self._socket = socket.create_connection(
                (address.host, address.port), timeout=max(0.05, deadline - time.monotonic())
            )
        except OSError as error:
            raise ConnectionLostError(f"nats-server cannot be reached: {error}") from error
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._greet(address, deadline)
        except BaseException:
            self._socket.close()
            raise

    def _greet(self, address: Address, deadline: float) -> None:
        self._line(deadline)  # INFO
        login = {"user": address.user, "pass": address.password} if address.user else {}
        options = {
            "verbose": False,
            "pedantic": False,
            "headers": True,
            "no_responders": True,
            "lang": "python",
            "version": "1",
            "protocol": 1,
            "name": f"imewe-{address.user or 'client'}",
            **login,
        }
        connect = b"CONNECT %b\r\nSUB %b.* 1\r\nPING\r\n" % (
            json.dumps(options).encode(),
            self.inbox.encode(),
        )
        self.send(connect)
        while not (line := self._line(deadline)).startswith(b"PONG"):
            self._control(line)

    def next_reply(self) -> str:
        """A reply subject that was not used before."""
        self._replies += 1
        return f"{self.inbox}.{self._replies}"

    def send(self, frames: bytes) -> None:
        """Write frames; the reader must follow before the next caller."""
        try:
            self._socket.settimeout(SEND_S)  # whoever read before may have had no time left
            self._socket.sendall(frames)
        except OSError as error:
            raise ConnectionLostError(f"the connection to nats-server ended: {error}") from error

    def receive(self, deadline: float) -> Message:
        """The next message on any subscription; ``NoAnswerError`` after the deadline."""
        while True:
            line = self._line(deadline)
            if line.startswith((b"HMSG", b"MSG")):
                return self._message(line, deadline)
            self._control(line)

    def receive_ready(self, deadline: float) -> list[Message]:
        """One message, waited for, and all that came whole with it: a long run costs less so."""
        found = [self.receive(deadline)]
        buffer, at, last = self._buffer, self._at, len(self._buffer)
        while (end := buffer.find(b"\r\n", at)) > 0 and buffer.startswith(b"HMSG", at):
            _, subject, *more, head_size, total = buffer[at:end].decode().split(" ")
            start = end + 2
            end = start + int(total)
            if end + 2 > last:
                break
            body = start + int(head_size)
            reply = more[1] if len(more) == 2 else ""
            found.append(Message(subject, reply, buffer[start:body], buffer[body:end]))
            at = end + 2
        self._at = at
        return found

    def flush(self, deadline: float) -> None:
        """Wait until the server has taken all that was sent; messages before that are dropped."""
        self.send(b"PING\r\n")
        while not (line := self._line(deadline)).startswith(b"PONG"):
            if line.startswith((b"HMSG", b"MSG")):
                self._message(line, deadline)
            else:
                self._control(line)

    def drain(self) -> bool:
        """Answer what the server asked meanwhile; True when a message was among it."""
        seen = False
        self.last_used = now = time.monotonic()
        try:
            while True:
                self.receive(now)
                seen = True
        except NoAnswerError:
            return seen

    def close(self) -> None:
        """Close; a reader in another thread wakes with ConnectionLostError."""
        with contextlib.suppress(OSError):  # the server was first
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _message(self, line: bytes, deadline: float) -> Message:
        words = line.decode().split(" ")
        total = int(words[-1])
        with_head = words[0] == "HMSG"
        head_size = int(words[-2]) if with_head else 0
        while len(self._buffer) < self._at + total + 2:
            self._fill(deadline)
        start, end = self._at, self._at + total
        self._at = end + 2
        reply = words[3] if len(words) == (6 if with_head else 5) else ""
        return Message(
            words[1],
            reply,
            self._buffer[start : start + head_size],
            self._buffer[start + head_size : end],
        )

    def _control(self, line: bytes) -> None:
        if line.startswith(b"PING"):
            self.send(b"PONG\r\n")
        elif line.startswith(b"-ERR"):
            text = line[5:].decode(errors="replace").strip("'")
            if "Permissions Violation" in text or "Authorization" in text:
                raise ForbiddenError(f"nats-server refuses: {text}")
            raise ConnectionLostError(f"nats-server ends the connection: {text}")

    def _line(self, deadline: float) -> bytes:
        while (end := self._buffer.find(b"\r\n", self._at)) < 0:
            self._fill(deadline)
        line = self._buffer[self._at : end]
        self._at = end + 2
        return line

    def _fill(self, deadline: float) -> None:
        try:
            self._socket.settimeout(max(0.0, deadline - time.monotonic()))
            chunk = self._socket.recv(CHUNK)
        except (TimeoutError, BlockingIOError) as error:
            raise NoAnswerError("nats-server did not answer in time") from error
        except OSError as error:
            raise ConnectionLostError(f"the connection to nats-server ended: {error}") from error
        if not chunk:
            raise ConnectionLostError("nats-server closed the connection")
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0


def inbox_prefix(user: str) -> str:
    """Every user has an inbox of its own, so that permissions can keep others out of it."""
    return f"_INBOX_{user}" if user else "_INBOX"
