"""The gateway's look at the log itself, through what account ``LOG`` exports."""

import asyncio
from typing import Any

from ops.eventstore.client import Client, read_answer
from ops.eventstore.loading import LogFiles
from ops.messaging.accounts import LOG_GET, LOG_INFO
from ops.messaging.connection import address
from ops.replaying.lines import event_told
from ops.settings import Settings


class StoredEvents:
    """``StoredLog`` of ``gateways.ports``. Its connections are made when somebody asks."""

    def __init__(self, settings: Settings, *, user: str = "gateway") -> None:
        self._settings = settings
        self._user = user
        self._client: Client | None = None

    async def read(self, after: int, limit: int) -> list[dict[str, Any]]:
        """See ``StoredLog``. Raises ``UnavailableError``."""
        return await asyncio.to_thread(self._read, after, limit)

    async def last_position(self) -> int:
        """See ``StoredLog``. Raises ``UnavailableError``."""
        answer = await asyncio.to_thread(self._connected().request, LOG_INFO)
        return int(read_answer(answer)["state"]["last_seq"])

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    def _read(self, after: int, limit: int) -> list[dict[str, Any]]:
        files = LogFiles(self._connected(), direct_get=LOG_GET, subjects="")
        return [event_told(record) for record in files.stretch(after + 1, limit)]

    def _connected(self) -> Client:
        if self._client is None:
            self._client = Client(address(self._settings, self._user))
        return self._client
