"""What systemd wants to hear of a service with ``Type=notify``: a datagram (sd_notify(3))."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from ops.settings import Settings

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"


@contextlib.asynccontextmanager
async def announced(settings: Settings) -> AsyncIterator[None]:
    """The service is ready while the block runs, and its event loop turns: a loop that hangs says
    nothing, and systemd ends the process. Without systemd nothing is said to anybody."""
    if not settings.notify_socket:
        yield
        return
    tell(settings.notify_socket, READY)
    alive = asyncio.create_task(_stay_alive(settings))
    try:
        yield
    finally:
        alive.cancel()
        tell(settings.notify_socket, STOPPING)


def tell(address: str, state: str) -> None:
    """One datagram; ``@`` begins an abstract name. Who does not listen is not told."""
    name = f"\0{address[1:]}" if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.setblocking(False)
        line.sendto(state.encode(), name)


async def _stay_alive(settings: Settings) -> None:
    """Twice as often as asked, as sd_watchdog_enabled(3) advises."""
    while settings.watchdog_s:
        tell(settings.notify_socket, ALIVE)
        await asyncio.sleep(settings.watchdog_s / 2)
