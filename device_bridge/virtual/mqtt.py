"""A virtual MQTT 3.1.1 broker with a sensor on it: retained messages, a cable, and nonsense.

It keeps no sessions and delivers at most once; a real broker is nats-server's or mosquitto.
"""

import asyncio

HOST = "127.0.0.1"
CONNECT, SUBSCRIBE, PING, LEAVE = 1, 8, 12, 14
WELCOME = bytes([0x20, 2, 0, 0])
PONG = bytes([0xD0, 0])
PUBLISH, SUBACK = 0x30, 0x90


class VirtualBroker:
    """What was published last on a topic is told to whoever subscribes to it."""

    def __init__(self) -> None:
        self.port = 0
        self._retained: dict[str, bytes] = {}
        self._wanted: dict[asyncio.StreamWriter, set[str]] = {}
        self._server: asyncio.Server | None = None
        self._plugged = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def plug(self) -> None:
        """Listen, always on the same port."""
        self._plugged = True
        if self._server is None:
            self._server = await asyncio.start_server(self._meet, HOST, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def unplug(self) -> None:
        """Drop every connection, and each new one too."""
        self._plugged = False
        for writer in list(self._wanted):
            writer.transport.abort()

    async def stop(self) -> None:
        """Switch off."""
        self.unplug()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()

    def publish(self, topic: str, payload: bytes) -> None:
        """Retain a message and tell it."""
        self._retained[topic] = payload
        for writer, topics in self._wanted.items():
            if topic in topics:
                writer.write(_published(topic, payload))

    def babble(self, data: bytes) -> None:
        """Say these bytes to everybody."""
        for writer in list(self._wanted):
            writer.write(data)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._plugged:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._tasks.add(task)
        self._wanted[writer] = set()
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, ValueError, IndexError):
            pass
        finally:
            self._tasks.discard(task)
            self._wanted.pop(writer, None)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            kind, body = await _packet(reader)
            if kind == CONNECT:
                writer.write(WELCOME)
            elif kind == SUBSCRIBE:
                self._subscribe(body, writer)
            elif kind == PING:
                writer.write(PONG)
            elif kind == LEAVE:
                return

    def _subscribe(self, body: bytes, writer: asyncio.StreamWriter) -> None:
        number, rest, topics = body[:2], body[2:], []
        while rest:
            size = int.from_bytes(rest[:2], "big")
            topics.append(rest[2 : 2 + size].decode())
            rest = rest[3 + size :]
        self._wanted[writer] |= set(topics)
        writer.write(bytes([SUBACK, 2 + len(topics)]) + number + bytes(len(topics)))
        for topic in topics:
            if topic in self._retained:
                writer.write(_published(topic, self._retained[topic]))


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first = (await reader.readexactly(1))[0]
    length, shift = 0, 0
    while True:
        digit = (await reader.readexactly(1))[0]
        length |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80:
            return first >> 4, await reader.readexactly(length)


def _published(topic: str, payload: bytes) -> bytes:
    name = topic.encode()
    body = len(name).to_bytes(2, "big") + name + payload
    length, digits = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | (0x80 if length else 0))
        if not length:
            return bytes([PUBLISH]) + bytes(digits) + body
