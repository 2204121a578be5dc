"""The key-encryption keys (KEK) of a home: one, and two while a rotation runs.

They lie in the file ``kek``, in hex, a line for each, the one that wraps new keys first. A process
looks at the file's state before it uses a key, so that every copy of the service learns of a
rotation at once. The log holds nothing that a KEK wrapped: only the store of secrets does.
"""

import hashlib
import os
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
FILE = "kek"

_Looks = tuple[int, int, int]


class Kek(NamedTuple):
    """A key-encryption key; ``id`` stands in the names of the keys that it wraps."""

    id: str
    cipher: AESGCM


class Keyring:
    """The KEKs of one home. Safe to share by threads."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE
        self._lock = Lock()
        self._seen: _Looks | None = None
        self._keys: tuple[Kek, ...] = ()
        _make(self._path)

    def keks(self) -> tuple[Kek, ...]:
        """The current one, then those that a rotation has not yet done with."""
        with self._lock:
            looks = _looks(self._path)
            if looks != self._seen:
                self._keys = tuple(_kek(line) for line in _lines(self._path))
                self._seen = looks
            return self._keys

    @property
    def current(self) -> Kek:
        """The one that wraps new keys."""
        return self.keks()[0]

    def begin_rotation(self) -> None:
        """Put a new KEK in front; nothing happens while a rotation runs."""
        lines = _lines(self._path)
        if len(lines) == 1:
            _replace(self._path, [os.urandom(KEY_BYTES).hex(), *lines])

    def end_rotation(self) -> None:
        """Destroy every KEK but the current one. Call when nothing is wrapped by them."""
        lines = _lines(self._path)
        if len(lines) > 1:
            _replace(self._path, lines[:1])


def key_encryption_key(home: Path) -> bytes:
    """All that wraps keys in a home, as one string of bytes; for backups of the keys."""
    Keyring(home)
    return bytes.fromhex("".join(_lines(home / FILE)))


def _lines(path: Path) -> list[str]:
    """The keys in hex. Who opened the file just before it was replaced may read the zeros that
    stand in the old one's place since; then there is a new one to open."""
    while "\0" in (text := path.read_text()):
        pass
    return text.split()


def _kek(line: str) -> Kek:
    key = bytes.fromhex(line)
    if len(key) != KEY_BYTES:
        raise ValueError("a key-encryption key has 32 bytes")
    return Kek(hashlib.sha256(b"imewe kek name" + key).hexdigest()[:8], AESGCM(key))


def _looks(path: Path) -> _Looks:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _make(path: Path) -> None:
    """A first KEK; of two makers at once, the first one's counts."""
    if path.exists():
        return
    fresh = _written(path, [os.urandom(KEY_BYTES).hex()])
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


def _replace(path: Path, lines: list[str]) -> None:
    """Put other lines in the file's place, and zeros where the old ones stood.

    A disk that writes elsewhere on every write may keep them all the same: the handbook says so.
    """
    fresh, length = _written(path, lines), path.stat().st_size
    with path.open("r+b") as old:
        fresh.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        old.write(bytes(length))
        old.flush()
        os.fsync(old.fileno())


def _written(path: Path, lines: list[str]) -> Path:
    fresh = path.with_name(f".{FILE}-{os.getpid()}-{os.urandom(4).hex()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(lines))
        file.flush()
        os.fsync(descriptor)
    return fresh
