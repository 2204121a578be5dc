"""What a backup holds, and how it is known to be whole: ``manifest.json``."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from domain.shared.errors import ImeweError, InvalidInputError
from ops.recovery.snapshots import Snapshot

FORMAT = 1
NAME = "manifest.json"
CHUNK_BYTES = 128 << 10


class DamagedBackupError(ImeweError):
    """A file of the backup is missing or not what the manifest says."""

    code = "DAMAGED_BACKUP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A plain file of the home in the backup."""

    name: str
    """Its path below the home."""
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Paths are ``<part>/<file>``; the parts are ``log``, ``artifacts`` and ``keys``.

    ``last_sequence`` and ``last_hash`` name the newest event; ``kek_id`` which key-encryption key
    the sealed data needs.
    """

    taken_at: str
    version: str
    last_sequence: int
    last_hash: str
    kek_id: str
    snapshots: dict[str, Snapshot]
    files: dict[str, Copy]

    def write(self, folder: Path) -> None:
        """Written last: a folder without it is no backup."""
        told = {"imewe_backup": FORMAT, **asdict(self)}
        fresh = folder / f".{NAME}"
        fresh.write_text(json.dumps(told, indent=1))
        fresh.replace(folder / NAME)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises ``InvalidInputError`` when the folder is no backup, or a newer kind of one."""
        try:
            told: dict[str, Any] = json.loads((folder / NAME).read_text())
            if told.pop("imewe_backup") != FORMAT:
                raise InvalidInputError(
                    f"{folder} was made by a newer Imewe", remedy="restore it with that one"
                )
            snapshots = {path: Snapshot(**each) for path, each in told.pop("snapshots").items()}
            files = {path: Copy(**each) for path, each in told.pop("files").items()}
            return cls(snapshots=snapshots, files=files, **told)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise InvalidInputError(
                f"{folder} is no finished backup: it has no {NAME}", field="backup"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedBackupError(f"{folder / NAME} cannot be read: {error}") from error

    def check(self, path: str, place: Path) -> None:
        """Compare one file with what is said of it. Raises ``DamagedBackupError``."""
        said = self.snapshots.get(path) or self.files[path]
        digest, size = hashlib.sha256(), 0
        for chunk in chunks_of(place):
            digest.update(chunk)
            size += len(chunk)
        if (size, digest.hexdigest()) != (said.size, said.sha256):
            raise DamagedBackupError(
                f"{path} is not what was backed up", remedy="use another copy of this backup"
            )


def chunks_of(place: Path) -> Iterator[bytes]:
    """A file's bytes. Raises ``DamagedBackupError`` when it is not there."""
    try:
        with place.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except FileNotFoundError as error:
        raise DamagedBackupError(f"{place} is missing") from error


def digest_of(place: Path) -> tuple[int, str]:
    """Size and SHA-256 of a file."""
    digest, size = hashlib.sha256(), 0
    for chunk in chunks_of(place):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()
