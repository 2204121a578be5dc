"""Rows of the event history without a database, for tests of what is folded from them."""

from collections.abc import Iterable
from dataclasses import replace

import orjson

from domain.shared.recorded import RecordedEvent
from projections.history.projector import EVENTS, History
from projections.history.rows import EventRow
from projections.rows import Rows


def rows_of(events: Iterable[RecordedEvent]) -> list[EventRow]:
    """What the history keeps of events, as a query reads it."""
    rows, projection = Rows(), History()
    for recorded in events:
        projection.fold(rows, recorded)
        rows.keep(recorded.position)
    return [replace(row, body=orjson.loads(row.body)) for row in dict(rows.appended())[EVENTS]]
