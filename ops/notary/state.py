"""What the notary keeps in ``home/notary``: both trees, and how far they are signed.

All of it can be made again from the log and the stream of heads. The files of the log's tree may
be ahead of the map, never behind it; opening cuts them back to where both were whole.
"""

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

import orjson

from domain.shared.errors import ConflictError
from ops.eventstore.chain import ChainCheck, Flaw, Last
from ops.eventstore.envelope import Record
from ops.notary.merkle import HashStore, entry_of, leaf_hash
from ops.notary.sorted_map import MapEntry, SortedMap

FOLDER = "notary"
TREE = "tree"
MAP = "map.db"


class NotaryState:
    """Both trees over the first ``size`` events. One process at a time.

    Raises ``ConflictError`` when another process has them open.
    """

    def __init__(self, home: Path) -> None:
        folder = home / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise ConflictError(f"another notary keeps its trees in {folder}") from error
        self.tree = HashStore(folder / TREE)
        self.map = SortedMap(folder / MAP)
        self._fit()

    @property
    def size(self) -> int:
        """How many events both trees hold."""
        return self.tree.size

    def take(self, records: Sequence[Record]) -> Flaw | None:
        """Check the next records and add those before the first bad one, if there is one."""
        last = self.map.find({record.subject for record in records})
        known = {s: Last(e.sequence, e.version, e.hash) for s, e in last.items()}
        check = ChainCheck(first=self.size + 1, known=known)
        leaves: list[bytes] = []
        flaw: Flaw | None = None
        for record in records:
            if flaw := check.take(record):
                break
            leaves.append(leaf_hash(entry_of(record)))
            self.map.set(
                record.subject,
                MapEntry(record.version, sequence=record.sequence, hash=record.hash),
            )
        self.tree.append(leaves)
        return flaw

    def save(self, **kept: object) -> None:
        """Make everything up to here last, with words to remember beside it."""
        self.tree.sync()
        for name, value in {**kept, "size": self.size}.items():
            self.map.keep(name, orjson.dumps(value).decode())
        self.map.commit()

    def kept(self, name: str) -> object:
        """What ``save`` was told last, ``None`` when nothing."""
        text = self.map.kept(name)
        return orjson.loads(text) if text else None

    def forget(self) -> None:
        """Empty both trees; what else was saved stays."""
        self.map.forget()
        self.tree.truncate(0)
        self.save()

    def close(self) -> None:
        """Close the files; what was not saved is forgotten."""
        self.map.close()
        self.tree.close()
        os.close(self._lock)

    def _fit(self) -> None:
        saved = self.kept("size")
        size = saved if isinstance(saved, int) else 0
        if size > self.tree.size:  # leaves were lost: begin again from the log
            self.forget()
        else:
            self.tree.truncate(size)
