"""Telling several listeners what a machine did."""

import asyncio
from collections.abc import AsyncIterator

from device_bridge.protocols import DeviceEvent, Listener


class Announcer:
    """Hands each event to every listener, in order, in the event loop."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Tell this listener every later event."""
        self._listeners.append(listener)

    def tell(self, event: DeviceEvent) -> None:
        """Tell everybody."""
        for listener in self._listeners:
            listener(event)

    async def events(self) -> AsyncIterator[DeviceEvent]:
        """Every later event, to iterate over."""
        queue: asyncio.Queue[DeviceEvent] = asyncio.Queue()
        self._listeners.append(queue.put_nowait)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.remove(queue.put_nowait)
