"""A TCP cable between a driver and a server: it can be pulled, and it can talk nonsense."""

import asyncio
import contextlib

HOST = "127.0.0.1"
CHUNK = 65536


class Relay:
    """Carries every connection to ``target`` on this computer, always from the same port."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._plugged = False
        self._guests: set[asyncio.StreamWriter] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def plug(self) -> None:
        """Listen."""
        self._plugged = True
        if self._server is None:
            self._server = await asyncio.start_server(self._meet, HOST, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def unplug(self) -> None:
        """Drop every connection, and each new one too."""
        self._plugged = False
        for writer in list(self._writers):
            writer.transport.abort()

    def babble(self, data: bytes) -> None:
        """Say these bytes to everybody who is connected."""
        for writer in list(self._guests):
            writer.write(data)

    async def stop(self) -> None:
        """Take it away."""
        self.unplug()
        await asyncio.gather(*self._tasks, return_exceptions=True)
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
        self._guests.add(writer)
        self._writers.add(writer)
        try:
            there, far = await asyncio.open_connection(HOST, self._target)
            self._writers.add(far)
            await asyncio.gather(_carry(reader, far), _carry(there, writer))
            self._writers.discard(far)
        except OSError:
            pass
        finally:
            self._tasks.discard(task)
            self._guests.discard(writer)
            self._writers.discard(writer)
            writer.close()


async def _carry(source: asyncio.StreamReader, drain: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(CHUNK):
            drain.write(data)
            await drain.drain()
    drain.close()
