"""What a virtual machine did, kept in a file so that kill tests can count it."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(slots=True)
class Counts:
    """Physical facts of one machine since its file was made."""

    starts: int = 0
    ends: int = 0
    filament_mm: float = 0.0


class Ledger:
    """Counts physical starts: motion that begins after a handshake, a reset or a program end.

    A bridge that sent a program a second time would have to shake hands first, so the count
    would rise. Written at each start and end, whole, by renaming.
    """

    def __init__(self, path: Path, *, ended: Callable[[], None]) -> None:
        self.armed = True
        self._path = path
        self._ended = ended
        self.counts = Counts(**json.loads(path.read_text())) if path.exists() else Counts()

    def moved(self) -> None:
        """The machine moved by a command of a program."""
        if self.armed:
            self.armed = False
            self.counts.starts += 1
            self.save()

    def finished(self, filament_mm: float) -> None:
        """A program said that it ended."""
        if self.armed:
            return
        self.armed = True
        self.counts.ends += 1
        self.counts.filament_mm = round(filament_mm, 3)
        self.save()
        self._ended()

    def save(self) -> None:
        """Write the file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self.counts)))
        fresh.replace(self._path)
