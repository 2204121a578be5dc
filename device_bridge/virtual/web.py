"""A small HTTP and websocket server for virtual machines, whose cable can be pulled."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Opening
from websockets.protocol import Event
from websockets.server import ServerProtocol

HOST = "127.0.0.1"
END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; header names are in small letters."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def as_json(value: Any, *, status: int = 200) -> Answer:
    """An answer in JSON."""
    headers = {"Content-Type": "application/json"}
    return Answer(status=status, body=json.dumps(value).encode(), headers=headers)


class Guest:
    """One open websocket. ``heard`` is called with each text message."""

    def __init__(self, writer: asyncio.StreamWriter, request: Request) -> None:
        self.request = request
        self.heard: Callable[[str], None] = lambda text: None
        self._writer = writer
        self._protocol = ServerProtocol(max_size=1 << 24)

    def say(self, text: str) -> None:
        """Send a message; a guest that left hears nothing."""
        if not self._writer.is_closing():
            self._protocol.send_text(text.encode())
            self._flush()

    async def talk(self, head: bytes, reader: asyncio.StreamReader) -> None:
        """Serve the connection to its end."""
        self._take(head)
        while data := await reader.read(1 << 16):
            self._take(data)

    def _take(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            self._meet(event)
        self._flush()

    def _meet(self, event: Event) -> None:
        if isinstance(event, Opening):
            self._protocol.send_response(self._protocol.accept(event))
        elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
            self.heard(bytes(event.data).decode(errors="replace"))

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._writer.write(data)
            else:
                self._writer.close()


class WebServer:
    """Answers requests by ``answer``; a websocket goes to ``welcome``, and to ``leave`` at its
    end. ``cut`` drops every connection, and each new one too, until ``mend``."""

    def __init__(
        self,
        answer: Callable[[Request], Awaitable[Answer]],
        *,
        welcome: Callable[[Guest], None] = lambda guest: None,
        leave: Callable[[Guest], None] = lambda guest: None,
    ) -> None:
        self.port = 0
        self.requests = 0
        self._answer = answer
        self._welcome = welcome
        self._leave = leave
        self._server: asyncio.Server | None = None
        self._plugged = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}"

    async def mend(self) -> None:
        """Listen, always on the same port."""
        self._plugged = True
        if self._server is None:
            self._server = await asyncio.start_server(self._meet, HOST, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Pull the cable."""
        self._plugged = False
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Switch off."""
        await self.cut()
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._plugged:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(END)
            request = await _read(head, reader)
            self.requests += 1
            if request.headers.get("upgrade", "").lower() == "websocket":
                await self._host(head, request, reader, writer)
                return
            answer = await self._answer(request)
            writer.write(_written(answer))
            await writer.drain()

    async def _host(
        self,
        head: bytes,
        request: Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        guest = Guest(writer, request)
        self._welcome(guest)
        try:
            await guest.talk(head, reader)
        finally:
            self._leave(guest)


async def _read(head: bytes, reader: asyncio.StreamReader) -> Request:
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    url = urlsplit(target)
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(
        method=method,
        path=unquote(url.path),
        query=dict(parse_qsl(url.query)),
        headers=headers,
        body=body,
    )


def _written(answer: Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    if answer.status != HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {len(answer.body)}")
    return "\r\n".join(lines).encode("latin-1") + END + answer.body
