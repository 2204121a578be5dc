"""Room for the log. A full disk latches nats-server: see ``StorageWatch``."""

import shutil
from pathlib import Path

from domain.shared.errors import StorageFullError
from ops.settings import Settings

RESERVE = 64 << 20
"""Bytes that must stay free: what is under way when the last check said yes fits in here."""
_SIGNS = (b"no space left on device", b"critical write error", b"insufficient storage resources")


def demand_room(settings: Settings, *, reserve: int = RESERVE) -> None:
    """Raise ``StorageFullError`` while the embedded log's disk is nearly full (microseconds).

    nats-server 2.15 does not answer a publish that met a full disk, so a writer asks before.
    """
    if settings.nats_url is None and free_bytes(settings.home) < reserve:
        raise StorageFullError(
            "the log's disk is full; nothing was recorded",
            remedy=f"free some space below {settings.home}",
        )


def free_bytes(home: Path) -> int:
    return shutil.disk_usage(home / "nats").free


class StorageWatch:
    """Says when nats-server must be restarted because its store was full and space is back.

    After a write error a stream refuses (without an answer) until the server starts again, even
    when space has come back, and nothing in its API tells; only its own log does.
    """

    def __init__(self, home: Path, *, reserve: int = RESERVE) -> None:
        self._home = home
        self._reserve = reserve
        self._log = home / "logs" / "nats.log"
        self._read = self._log.stat().st_size if self._log.exists() else 0
        self.was_full = False

    def restart_is_due(self) -> bool:
        """Look at what the server logged since the last call, then at the free space."""
        size = self._log.stat().st_size
        if size < self._read:
            self._read = 0  # a new file
        if size > self._read:
            with self._log.open("rb") as file:
                file.seek(self._read)
                text = file.read(size - self._read)
            self._read = size
            self.was_full = self.was_full or any(sign in text for sign in _SIGNS)
        return self.was_full and free_bytes(self._home) >= self._reserve

    def restarted(self) -> None:
        """Forget what the old server said."""
        self._read = self._log.stat().st_size
        self.was_full = False
