"""Read models in memory: the same folds as in PostgreSQL, and the same state hash."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from domain.shared.recorded import RecordedEvent
from ops.projecting.applying import Unreadable
from projections.canonical import StateHash, in_memory
from projections.projection import Projection
from projections.rows import Need, Rows
from projections.table import Key, Table


class MemoryTable:
    """The rows of one table, by key and by whatever columns folds look them up."""

    def __init__(self, table: Table[Any]) -> None:
        self.rows: dict[Key, Any] = {}
        self._table = table
        self._indexes: dict[tuple[str, ...], dict[Key, dict[Key, None]]] = {}

    def put(self, key: Key, row: Any) -> None:
        """Store a row in the place of the one with the same key."""
        before = self.rows.get(key)
        self.rows[key] = row
        for columns, index in self._indexes.items():
            if before is not None:
                del index[_values(before, columns)][key]
            index.setdefault(_values(row, columns), {})[key] = None

    def having(self, columns: tuple[str, ...], values: Key) -> list[Any]:
        """The rows whose columns have these values."""
        if columns == self._table.key:
            return [self.rows[values]] if values in self.rows else []
        index = self._indexes.get(columns)
        if index is None:
            index = self._indexes[columns] = {}
            for key, row in self.rows.items():
                index.setdefault(_values(row, columns), {})[key] = None
        return [self.rows[key] for key in index.get(values, ())]


class MemoryModel:
    """One projection folded in memory. An event that cannot be folded parks its aggregate."""

    def __init__(self, projection: Projection) -> None:
        self.projection = projection
        self.parked: dict[str, str] = {}
        self.tables = {table: MemoryTable(table) for table in projection.tables}

    def fold(self, events: Sequence[RecordedEvent]) -> None:
        """Fold what follows in the log."""
        rows = Rows()
        wanted = [event for event in events if event.topic in self.projection.topics]
        for need in {need: None for event in wanted for need in self.projection.needs(event)}:
            self._load(rows, need)
        for event in wanted:
            self._fold_one(rows, event)
        self._keep(rows)

    def park(self, event: Unreadable) -> None:
        """Leave an aggregate with an event that could not even be decoded."""
        if event.kind in self.projection.kinds:
            self.parked.setdefault(event.aggregate_id, event.reason)

    def state_hash(self) -> StateHash:
        """The hash of all rows, as ``projections.canonical`` defines it."""
        found = StateHash()
        for table, kept in self.tables.items():
            found.begin(table)
            found.take(in_memory(table, kept.rows))
        return found

    def _load(self, rows: Rows, need: Need) -> None:
        rows.load(need.table, self.tables[need.table].having(need.columns, need.values))

    def _fold_one(self, rows: Rows, event: RecordedEvent) -> None:
        key = str(event.aggregate_id)
        if key in self.parked:
            return
        try:
            self.projection.fold(rows, event)
        except Exception as error:  # whatever a fold raises, the other aggregates go on
            rows.drop()
            self.parked[key] = f"{event.topic}: {type(error).__name__}: {error}"
        else:
            rows.keep(event.position)

    def _keep(self, rows: Rows) -> None:
        for table, row in _flat(rows.changed()):
            self.tables[table].put(table.key_of(row), row)
        for table, row in _flat(rows.appended()):
            self.tables[table].put(table.key_of(row), row)
        for table, added in _flat(rows.sums()):
            key = table.key_of(added)
            known = self.tables[table].rows.get(key)
            self.tables[table].put(key, added if known is None else _sum(table, known, added))


def _flat(found: Iterable[tuple[Table[Any], list[Any]]]) -> Iterator[tuple[Table[Any], Any]]:
    for table, rows in found:
        for row in rows:
            yield table, row


def _sum(table: Table[Any], known: Any, added: Any) -> Any:
    names = [name for name in table.names if name not in table.key]
    return replace(known, **{name: getattr(known, name) + getattr(added, name) for name in names})


def _values(row: Any, columns: tuple[str, ...]) -> Key:
    return tuple(getattr(row, column) for column in columns)
