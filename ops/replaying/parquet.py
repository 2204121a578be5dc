"""Stored events as Apache Parquet, one row an event: for notebooks and analysis.

Columns: ``sequence`` (int64), ``time`` (the server's, as text), ``subject``, one text column for
each header of the log (``imewe_version`` ...), ``body`` (the stored bytes). The file's own metadata
hold what the first line of a JSON export says, under ``imewe_events``. Needs the extra
``parquet``; nothing else imports this module.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from ops.eventstore.envelope import FIELDS, HASH, Record
from ops.replaying.errors import ExportError
from ops.replaying.lines import kept_headers, made_record, stored_time

ROWS_AT_ONCE = 5_000
META = b"imewe_events"
COLUMNS = {name: name.replace("-", "_").lower() for name in (*FIELDS, HASH)}


class ParquetExport:
    """Writes row groups as they come."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        columns = [("sequence", pa.int64()), ("time", pa.string()), ("subject", pa.string())]
        columns += [(name, pa.string()) for name in COLUMNS.values()]
        columns.append(("body", pa.binary()))
        self._schema = pa.schema(columns, metadata={META: orjson.dumps(header)})
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def write(self, record: Record) -> None:
        """One more event."""
        headers = kept_headers(record)
        self._rows.append(
            {
                "sequence": record.sequence,
                "time": stored_time(record),
                "subject": record.subject,
                **{column: headers.get(name) for name, column in COLUMNS.items()},
                "body": record.body,
            }
        )
        if len(self._rows) >= ROWS_AT_ONCE:
            self._flush()

    def close(self) -> None:
        """Write what is left, and the file's footer."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []


def header_of(path: Path) -> dict[str, Any]:
    """What the export says of itself. Raises ``ExportError``."""
    try:
        found = (pq.read_schema(path).metadata or {}).get(META)
        header = orjson.loads(found) if found else None
    except (pa.ArrowException, OSError, orjson.JSONDecodeError) as error:
        raise ExportError(f"it cannot be read as Parquet: {error}") from error
    if not isinstance(header, dict):
        raise ExportError("it is a Parquet file of something else")
    return header


def records_of(path: Path) -> Iterator[tuple[int, Record]]:
    """Rows in order, each with its number from 1. Raises ``ExportError``."""
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    number += 1
                    yield number, _record(row, number)
    except (pa.ArrowException, OSError) as error:
        raise ExportError(f"it breaks off: {error}", line=number + 1) from error


def _record(row: dict[str, Any], number: int) -> Record:
    try:
        given = {name: row[column] for name, column in COLUMNS.items()}
        return made_record(
            sequence=row["sequence"],
            time=row["time"],
            subject=row["subject"],
            headers={name: value for name, value in given.items() if value is not None},
            body=bytes(row["body"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ExportError(f"this is no event: {error}", line=number) from error
