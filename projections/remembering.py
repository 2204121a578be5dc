"""Rows that stay in memory from batch to batch, for the one who fills tables that nobody reads.

What is not here need not be looked for while everything is here; a row that was never stored is
appended and not compared; one that changes in many batches is read at most once.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from copy import copy
from itertools import chain
from typing import Any, TypeVar

from projections.rows import Need, Rows
from projections.table import Key, Table

R = TypeVar("R")

ROWS_LIMIT = 20_000
"""Rows that are kept; about 2 kB each. Those of the last batch stay in any case."""


class RememberedRows(Rows):
    """``whole``: the tables are empty. Nobody else writes them."""

    def __init__(self, *, whole: bool, limit: int = ROWS_LIMIT) -> None:
        super().__init__()
        self._whole = whole
        self._limit = limit
        self._stored: dict[Table[Any], set[Key]] = defaultdict(set)

    def lacking(self, needs: Iterable[Need]) -> list[Need]:
        """Those of which it is not known what is stored."""
        if self._whole:
            return []
        return [
            need
            for need in needs
            if need.columns != need.table.key or need.values not in self._rows[need.table]
        ]

    def load(self, table: Table[R], rows: Sequence[R]) -> None:
        """Take over rows as they are stored, except those that are newer here."""
        known = self._rows[table]
        stored = self._stored[table]
        for row in rows:
            key = table.key_of(row)
            known.setdefault(key, row)
            stored.add(key)

    def detach(self) -> Rows:
        """What the folds since the last time did, to be written before the next look at what is
        stored."""
        for table, changed in self._changed.items():
            stored = self._stored[table]
            self._fresh[table] = {key: row for key, row in changed.items() if key not in stored}
            self._changed[table] = {key: row for key, row in changed.items() if key in stored}
            stored.update(changed)
        done = copy(self)
        self._begin()
        if sum(map(len, self._rows.values())) > self._limit:
            self._forget_all_but(done)
        return done

    def _forget_all_but(self, done: Rows) -> None:
        self._whole = False
        self._rows.clear()
        for table, rows in chain(done.fresh(), done.changed()):
            self._rows[table].update((table.key_of(row), row) for row in rows)
        self._stored.clear()
        self._stored |= {table: set(rows) for table, rows in self._rows.items()}
