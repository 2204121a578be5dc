"""The bridge's own bell: a socket in its home by which this computer stops machines without a
core. One line of JSON asks ``{"stop": node id or "all", "by": who}``; one line answers
``{"stops": [...]}``. Only the account of the bridge (and root) may enter: the socket is mode 0600.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

NAME = "stop.sock"
ALL = "all"
LONGEST = 4096
ANSWER_S = 10.0
Stop = Callable[[str, str], Awaitable[list[dict[str, Any]]]]


@contextlib.asynccontextmanager
async def open_desk(folder: Path, stop: Stop) -> AsyncIterator[None]:
    """Answer until the block ends. ``stop`` takes a node id, or ``all``, and who asks."""
    listener = _listener(folder)  # not in a thread: who is cancelled meanwhile would not close it

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError):
            asked = json.loads(await reader.readline())
            stops = await stop(str(asked["stop"]), str(asked.get("by", "local"))[:128])
            writer.write(json.dumps({"stops": stops}).encode() + b"\n")
            await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_unix_server(answer, sock=listener, limit=LONGEST)
    except BaseException:
        listener.close()
        raise
    try:
        yield
    finally:
        server.close()
        await asyncio.to_thread((folder / NAME).unlink, missing_ok=True)


def ring(folder: Path, node: str, *, by: str) -> list[dict[str, Any]] | None:
    """Have the bridge of this home stop machines; ``None`` when no bridge answers."""
    with contextlib.suppress(OSError, ValueError), _reached(folder) as path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(ANSWER_S)
            line.connect(path)
            line.sendall(json.dumps({"stop": node, "by": by}).encode() + b"\n")
            heard = b""
            while not heard.endswith(b"\n") and (part := line.recv(65536)):
                heard += part
        stops: list[dict[str, Any]] = json.loads(heard)["stops"]
        return stops
    return None


def _listener(folder: Path) -> socket.socket:
    """Bound, and nobody else's from its first moment."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        with _reached(folder) as path:
            listener.bind(path)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(mask)
    return listener


@contextlib.contextmanager
def _reached(folder: Path) -> Iterator[str]:
    """A name of the socket that fits into the 100 bytes that a kernel allows."""
    plain = str(folder / NAME)
    if len(os.fsencode(plain)) < 100:
        yield plain
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{held}/{NAME}"
    finally:
        os.close(held)
