"""The working set of one batch: rows loaded before the fold, and what the fold did to them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from projections.replacing import replace
from projections.table import Key, Past, Table

R = TypeVar("R")


class MissingRowError(LookupError):
    """An event about an object that this projection has never met, or whose row was not loaded."""


class Need(NamedTuple):
    """Rows that the fold of an event may look at: those whose ``columns`` have these values."""

    table: Table[Any]
    columns: tuple[str, ...]
    values: Key


class FixedColumnError(ValueError):
    """A row came to differ in a column of which its table says that it never changes."""


class Line(NamedTuple):
    """For the history: one state of a row, or the amounts that one event added to it."""

    position: int
    row: Any


class Rows:
    """Rows in memory. What one event did counts only after ``keep``; ``drop`` forgets it."""

    def __init__(self) -> None:
        self._rows: dict[Table[Any], dict[Key, Any]] = defaultdict(dict)
        self._new_rows: dict[tuple[Table[Any], Key], Any] = {}
        self._new_lines: list[tuple[Table[Any], Any]] = []
        self._new_sums: list[tuple[Table[Any], Key, Mapping[str, int]]] = []
        self._new_touched: list[str] = []
        self._begin()

    def _begin(self) -> None:
        """Nothing is to be written."""
        self._fresh: dict[Table[Any], dict[Key, Any]] = {}
        self._changed: dict[Table[Any], dict[Key, Any]] = defaultdict(dict)
        self._lines: dict[Table[Any], list[Line]] = defaultdict(list)
        self._appended: dict[Table[Any], list[Any]] = defaultdict(list)
        self._sums: dict[Table[Any], dict[Key, dict[str, int]]] = defaultdict(dict)
        self._touched: dict[str, None] = {}

    # what a fold asks and says

    def find(self, table: Table[R], *key: Any) -> R | None:
        """The row of that key, or ``None``."""
        found: R | None = self._new_rows.get((table, key))
        return found if found is not None else self._rows[table].get(key)

    def get(self, table: Table[R], *key: Any) -> R:
        """The row of that key. Raises ``MissingRowError``."""
        found = self.find(table, *key)
        if found is None:
            raise MissingRowError(f"no row {key} in {table.name}")
        return found

    def having(self, table: Table[R], **values: Any) -> list[R]:
        """The rows with these values, among those loaded and those put."""
        known = {**self._rows[table]}
        known |= {key: row for (of, key), row in self._new_rows.items() if of is table}
        return [
            row
            for row in known.values()
            if all(getattr(row, name) == value for name, value in values.items())
        ]

    def put(self, table: Table[R], row: R) -> R:
        """Store a row in the place of the one with the same key.

        Raises ``FixedColumnError``.
        """
        key = table.key_of(row)
        if table.fixed_of is not None:
            known = self.find(table, *key)
            if known is not None and table.fixed_of(known) != table.fixed_of(row):
                raise FixedColumnError(f"what is fixed of row {key} in {table.name} changed")
        self._new_rows[table, key] = row
        return row

    def change(self, table: Table[R], *key: Any, **values: Any) -> R:
        """Store the row of that key with other values. Raises ``MissingRowError``."""
        return self.put(table, replace(self.get(table, *key), **values))

    def append(self, table: Table[R], row: R) -> None:
        """Add a row to a table that only grows."""
        self._new_lines.append((table, row))

    def add(self, table: Table[Any], *key: Any, **amounts: int) -> None:
        """Add to the sums of a row, which begins at zero."""
        self._new_sums.append((table, key, amounts))

    def touch(self, key: str) -> None:
        """Announce that what clients know by this id became different."""
        self._new_touched.append(key)

    # what the runner does between folds

    def load(self, table: Table[R], rows: Sequence[R]) -> None:
        """Take over rows as they are stored."""
        self._rows[table].update((table.key_of(row), row) for row in rows)

    def keep(self, position: int) -> None:
        """Let the event at ``position`` count."""
        for (table, key), row in self._new_rows.items():
            self._rows[table][key] = row
            self._changed[table][key] = row
            if table.past is Past.STATES:
                self._lines[table].append(Line(position, row))
        for table, row in self._new_lines:
            self._appended[table].append(row)
        if self._new_sums:
            self._keep_sums(position)
        self._touched |= dict.fromkeys(self._new_touched)
        self.drop()

    def _keep_sums(self, position: int) -> None:
        added: dict[tuple[Table[Any], Key], dict[str, int]] = {}
        for table, key, amounts in self._new_sums:
            _add(self._sums[table].setdefault(key, {}), amounts)
            _add(added.setdefault((table, key), {}), amounts)
        for (table, key), amounts in added.items():
            if table.past is Past.SUMS:
                self._lines[table].append(Line(position, _summed(table, key, amounts)))

    def drop(self) -> None:
        """Forget what the event did."""
        self._new_rows.clear()
        self._new_lines.clear()
        self._new_sums.clear()
        self._new_touched.clear()

    # what is written

    @property
    def touched(self) -> list[str]:
        """Announced ids, each once."""
        return list(self._touched)

    def fresh(self) -> Iterator[tuple[Table[Any], list[Any]]]:
        """Rows that are known not to be stored yet, by table."""
        for table, rows in self._fresh.items():
            if rows:
                yield table, list(rows.values())

    def changed(self) -> Iterator[tuple[Table[Any], list[Any]]]:
        """Rows to upsert, by table, in the order of their keys: two writers lock alike."""
        for table, rows in self._changed.items():
            if rows:
                yield table, [rows[key] for key in sorted(rows)]

    def lines(self) -> Iterator[tuple[Table[Any], list[Line]]]:
        """What the history takes, by table."""
        yield from self._lines.items()

    def appended(self) -> Iterator[tuple[Table[Any], list[Any]]]:
        """Rows to append, by table."""
        yield from self._appended.items()

    def sums(self) -> Iterator[tuple[Table[Any], list[Any]]]:
        """Rows that hold what is to be added, by table."""
        for table, found in self._sums.items():
            yield table, [_summed(table, key, found[key]) for key in sorted(found)]


def _add(sums: dict[str, int], amounts: Mapping[str, int]) -> None:
    for name, amount in amounts.items():
        sums[name] = sums.get(name, 0) + amount


def _summed(table: Table[Any], key: Key, amounts: Mapping[str, int]) -> Any:
    return table.row(**dict(zip(table.key, key, strict=True)), **amounts)
