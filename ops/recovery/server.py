"""A nats-server on a home's store that takes streams back, for the time of one ``imewe restore``.

In a running installation nobody may restore a stream. These users exist only while the home is held
by the restore, on loopback, under a password that is made for it and never written down but in the
server's own configuration, which the next start replaces.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client

from ops.hosting.account import Account
from ops.hosting.home import new_secret
from ops.messaging.accounts import APP, LOG
from ops.messaging.server import EmbeddedNats

EVERYTHING = {"publish": {"allow": [">"]}, "subscribe": {"allow": [">"]}}


class RecoveryNats(EmbeddedNats):
    """The embedded server with a user for everything in each account."""

    def __init__(self, home: Path, account: Account | None, *, store_bytes: int = 0) -> None:
        super().__init__(home, account, store_bytes=store_bytes)
        self._password = new_secret()

    @asynccontextmanager
    async def connected(self, account: str) -> AsyncIterator[Client]:
        """A connection to ``LOG`` or ``APP`` that may do everything there."""
        client = await nats.connect(
            self.url, user=f"recovery_{account}", password=self._password, allow_reconnect=False
        )
        try:
            yield client
        finally:
            await client.close()

    def _accounts(self) -> dict[str, Any]:
        told = super()._accounts()
        for account in (LOG, APP):
            user = {
                "user": f"recovery_{account}",
                "password": self._password,
                "permissions": EVERYTHING,
            }
            told[account]["users"] = [*told[account]["users"], user]
        return told
