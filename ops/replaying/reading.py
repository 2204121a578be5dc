"""Reads an exported log and checks every event of it on the way.

Understands the three formats of ``imewe events export`` and the files of ``imewe audit export``,
whose events are checked here as all others; what their heads and proofs say is for ``imewe audit
verify``. Nothing in a file is believed: whatever does not fit is named by line and sequence.
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson

from ops.eventstore.chain import ChainCheck, Flaw
from ops.eventstore.envelope import Record
from ops.replaying.cloudevents import record_of_cloud_event
from ops.replaying.errors import ExportError
from ops.replaying.lines import record_told
from ops.replaying.writing import parquet

LINE_LIMIT = 8 << 20
"""Bytes of one line. An event is at most 1 MiB, and its text is at most quoted and escaped."""


class SomeOfAll(ChainCheck):
    """Some organisations' events: others' stand between them, each aggregate is whole."""

    def take(self, record: Record) -> Flaw | None:
        """As before; a gap is none."""
        self._next = max(self._next, record.sequence)
        return super().take(record)


class Export:
    """One file. ``records`` may be read as often as one likes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                begin = file.read(4)
        except OSError as error:
            raise ExportError(f"{path} cannot be read: {error.strerror}") from error
        if not begin:
            raise ExportError(f"{path} is empty")
        self._packed = begin[:2] == b"\x1f\x8b"
        self._is_parquet = begin == b"PAR1"
        self.first = 1
        self.last = 0
        self.is_whole = True

    def records(self) -> Iterator[Record]:
        """Every event in order, each checked. Raises ``ExportError``.

        Then ``first`` and ``last`` are the positions that the file covers, and ``is_whole`` says
        whether every event from the log's first on is in it.
        """
        lines = self._rows() if self._is_parquet else self._lines()
        first, to, some = _stretch(cast("dict[str, Any]", next(lines)[1]))
        check: ChainCheck | None = None
        expected = self.first = first or 1
        for line, found in lines:
            record = cast("Record", found)
            if check is None:
                expected = self.first = first or record.sequence
                check = SomeOfAll(first=self.first) if some else ChainCheck(first=self.first)
                self.is_whole = self.first == 1
            if flaw := check.take(record):
                raise ExportError(flaw.reason, line=line, sequence=flaw.sequence)
            self.is_whole = self.is_whole and record.sequence == expected
            expected = record.sequence + 1
            yield record
        self.last = expected - 1 if to is None else to
        if self.last >= expected and not some:
            raise ExportError("missing at the end", sequence=expected)
        self.is_whole = self.is_whole and self.last < expected

    def _rows(self) -> Iterator[tuple[int, Any]]:
        yield 0, parquet().header_of(self.path)
        yield from parquet().records_of(self.path)

    def _lines(self) -> Iterator[tuple[int, Any]]:
        """What the file says of itself, then its events with their lines."""
        with self._opened() as file:
            line = _line(file, 1)
            if line.strip() == b"[":
                yield 1, {}
                yield from _cloud_events(file)
                return
            header = _object(line, 1)
            if header.get("imewe_events") != 1 and header.get("imewe_proof") != 1:
                raise ExportError("this is the first line of no export that is known", line=1)
            yield 1, header
            yield from _events(file, line, is_proof="imewe_proof" in header)

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        try:
            with gzip.open(self.path) if self._packed else self.path.open("rb") as file:
                yield cast("BinaryIO", file)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ExportError(f"it cannot be unpacked to its end: {error}") from error


def _stretch(header: dict[str, Any]) -> tuple[int | None, int | None, bool]:
    """First and last position as far as they are told, and whether others' events are left out."""
    if header.get("kind") == "job":
        return 1, None, True
    first, last = header.get("from"), header.get("to")
    for position, least in ((first, 1), (last, 0)):
        if position is not None and (type(position) is not int or position < least):
            raise ExportError("from and to are no positions", line=1)
    return first, last, header.get("organisations") is not None


def _events(file: BinaryIO, header: bytes, *, is_proof: bool) -> Iterator[tuple[int, Record]]:
    digest, count, number = sha256(header), 0, 1
    while line := _line(file, number + 1):
        number += 1
        told = _object(line, number)
        if "end" in told:
            _check_end(told["end"], digest.hexdigest(), count, number)
            if _line(file, number + 1):
                raise ExportError("this stands behind the last line", line=number + 1)
            return
        digest.update(line)
        if "event" in told:
            count += 1
            yield number, record_told(told["event"], line=number)
        elif not is_proof:  # heads and proofs stand between a proof's events
            raise ExportError("this is no event", line=number)
    raise ExportError("the last line is missing: the file was cut off here", line=number + 1)


def _check_end(end: Any, digest: str, count: int, number: int) -> None:
    if not isinstance(end, dict) or end.get("events") != count:
        raise ExportError(f"the last line does not say {count} events", line=number)
    if end.get("sha256") != digest:
        raise ExportError("the file is not as it was written: another SHA-256", line=number)


def _cloud_events(file: BinaryIO) -> Iterator[tuple[int, Record]]:
    number, more = 1, True
    while line := _line(file, number + 1):
        number += 1
        text = line.strip()
        if text == b"]":
            if _line(file, number + 1):
                raise ExportError("this stands behind the end of the batch", line=number + 1)
            return
        if not more:
            raise ExportError("a comma is missing before this event", line=number)
        more = text.endswith(b",")
        told = _object(text.removesuffix(b","), number)
        yield number, record_of_cloud_event(told, line=number)
    raise ExportError("the batch does not end: the file was cut off here", line=number + 1)


def _line(file: BinaryIO, number: int) -> bytes:
    line = file.readline(LINE_LIMIT + 1)
    if len(line) > LINE_LIMIT:
        raise ExportError(f"it is longer than {LINE_LIMIT >> 20} MiB", line=number)
    return line


def _object(line: bytes, number: int) -> dict[str, Any]:
    try:
        told = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ExportError(f"this is no JSON: {error}", line=number) from error
    if not isinstance(told, dict):
        raise ExportError("this is no JSON object", line=number)
    return told
