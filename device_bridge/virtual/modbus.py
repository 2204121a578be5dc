"""A virtual Modbus TCP unit that can be unplugged and talk nonsense."""

import asyncio
import struct
from collections.abc import Mapping

HOST = "127.0.0.1"
HEAD = struct.Struct(">HHHBB")
ASKED = struct.Struct(">HH")
READS = frozenset({3, 4})
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS = 1, 2


class VirtualUnit:
    """Registers by address, the same ones as input and as holding registers."""

    def __init__(self, words: Mapping[int, int]) -> None:
        self.words = dict(words)
        self.port = 0
        self._server: asyncio.Server | None = None
        self._plugged = False
        self._writers: set[asyncio.StreamWriter] = set()
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
        for writer in list(self._writers):
            writer.transport.abort()

    async def stop(self) -> None:
        """Switch off."""
        self.unplug()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()

    def set_float(self, address: int, value: float) -> None:
        """Two registers, the higher half first."""
        self.words[address], self.words[address + 1] = struct.unpack(
            ">HH", struct.pack(">f", value)
        )

    def babble(self, data: bytes) -> None:
        """Say these bytes to everybody."""
        for writer in list(self._writers):
            writer.write(data)

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
        except (OSError, asyncio.IncompleteReadError, struct.error, ValueError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readexactly(HEAD.size)
            transaction, _, length, unit, function = HEAD.unpack(head)
            body = await reader.readexactly(length - 2)
            answer = self._answer(function, body)
            size = len(answer) + 1
            writer.write(struct.pack(">HHHB", transaction, 0, size, unit) + answer)

    def _answer(self, function: int, body: bytes) -> bytes:
        if function not in READS:
            return bytes([function | 0x80, ILLEGAL_FUNCTION])
        start, count = ASKED.unpack(body)
        try:
            found = [self.words[address] for address in range(start, start + count)]
        except KeyError:
            return bytes([function | 0x80, ILLEGAL_ADDRESS])
        return struct.pack(f">BB{count}H", function, 2 * count, *found)
