"""Writes stored events into a file, exactly as they are stored, whatever the format."""

import gzip
import importlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, cast

import orjson

from domain.shared.errors import ConflictError, InvalidInputError
from ops.eventstore.envelope import Record
from ops.replaying.cloudevents import cloud_event
from ops.replaying.errors import MissingExtraError
from ops.replaying.lines import event_line

Format = Literal["jsonl", "cloudevents", "parquet"]
FORMATS: tuple[Format, ...] = ("jsonl", "cloudevents", "parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What an export holds: positions ``first`` to ``last``, of these organisations or of all."""

    first: int
    last: int
    organisations: tuple[str, ...] | None = None

    @property
    def told(self) -> dict[str, Any]:
        """As it stands in the file."""
        places = None if self.organisations is None else list(self.organisations)
        return {"imewe_events": 1, "from": self.first, "to": self.last, "organisations": places}


class Writer(Protocol):
    """One open export."""

    def write(self, record: Record) -> None:
        """One more event."""

    def close(self) -> None:
        """The end of the file."""


class LineExport:
    """JSON Lines; see ``ops.replaying.lines``."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self._file = opened(path)
        self._digest = sha256()
        self._events = 0
        self._put(orjson.dumps(header) + b"\n")

    def write(self, record: Record) -> None:
        """One line."""
        self._events += 1
        self._put(event_line(record))

    def close(self) -> None:
        """The last line, by which a file that was cut off is known."""
        end = {"end": {"events": self._events, "sha256": self._digest.hexdigest()}}
        self._file.write(orjson.dumps(end) + b"\n")
        self._file.close()

    def _put(self, line: bytes) -> None:
        self._digest.update(line)
        self._file.write(line)


class CloudExport:
    """A batch of CloudEvents; see ``ops.replaying.cloudevents``."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self._file = opened(path)
        self._file.write(b"[")
        self._between = b"\n"

    def write(self, record: Record) -> None:
        """One event of the batch."""
        self._file.write(self._between + cloud_event(record))
        self._between = b",\n"

    def close(self) -> None:
        """The bracket that ends the batch."""
        self._file.write(b"\n]\n")
        self._file.close()


def write_export(
    path: Path,
    format: Format,
    stretch: Stretch,
    pages: Iterable[tuple[list[Record], int]],
    *,
    progress: Callable[[int], None] = lambda _position: None,
) -> int:
    """Write all events of ``pages`` and return how many; ``progress`` hears each page's position.

    The file appears under its name when it is whole. Raises ``ConflictError`` when there is one,
    ``MissingExtraError`` for Parquet without pyarrow.
    """
    if path.exists():
        raise ConflictError(f"{path} is there already", field="output", remedy="another name")
    if not path.parent.is_dir():
        raise InvalidInputError(f"there is no folder {path.parent}", field="output")
    draft = path.with_name(f".{os.getpid()}.{path.name}")
    count = 0
    try:
        writer = _writer(format)(draft, stretch.told)
        try:
            for records, position in pages:
                for record in records:
                    writer.write(record)
                count += len(records)
                progress(position)
        finally:
            writer.close()
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    return count


def opened(path: Path) -> BinaryIO:
    """A new file; compressed when its name says so."""
    if path.suffix == ".gz":
        return cast("BinaryIO", gzip.open(path, "wb"))
    return path.open("wb")


def parquet() -> Any:
    """The module that knows Parquet. Raises ``MissingExtraError``."""
    try:
        return importlib.import_module("ops.replaying.parquet")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "Parquet needs the package pyarrow, which is not installed",
            remedy="install the extra: pip install 'imewe[parquet]'; or export as jsonl",
        ) from error


def _writer(format: Format) -> Callable[[Path, dict[str, Any]], Writer]:
    match format:
        case "jsonl":
            return LineExport
        case "cloudevents":
            return CloudExport
        case "parquet":
            return cast("Callable[[Path, dict[str, Any]], Writer]", parquet().ParquetExport)
