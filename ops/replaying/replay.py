"""Folds an exported log into read models, on any machine and without NATS."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Protocol

from domain.shared.errors import ConflictError
from domain.shared.recorded import RecordedEvent
from ops.database.migrations import migrate
from ops.eventstore.envelope import Record
from ops.eventstore.reader import PoisonEventError, recorded_event
from ops.projecting.applying import Batch, Unreadable, apply
from ops.projecting.comparing import ModelState, model_states
from ops.projecting.places import Connection, settle
from ops.replaying.errors import ExportError
from ops.replaying.memory import MemoryModel
from ops.replaying.reading import Export
from projections.projection import Projection

BATCH = 1000


class Models(Protocol):
    """Read models that are being made. ``lasting``: what was folded stays, whatever follows."""

    lasting: bool

    def take(self, batch: Batch) -> None:
        """Fold what follows in the log."""

    def states(self, position: int) -> list[ModelState]:
        """What they are, once everything up to ``position`` was folded."""


class MemoryModels:
    """Read models in the memory of this process."""

    lasting = False

    def __init__(self, projections: Iterable[Projection]) -> None:
        self._models = [MemoryModel(each) for each in projections]

    def take(self, batch: Batch) -> None:
        """See ``Models``."""
        for model in self._models:
            model.fold(batch.events)
            if batch.unreadable:
                model.park(batch.unreadable)

    def states(self, position: int) -> list[ModelState]:
        """See ``Models``."""
        return [_state(model, position) for model in self._models]


class DatabaseModels:
    """Read models in a PostgreSQL that holds none yet; an autocommit connection."""

    lasting = True

    def __init__(self, connection: Connection, projections: Sequence[Projection]) -> None:
        migrate(connection)
        if connection.execute("SELECT 1 FROM imewe.projections LIMIT 1").fetchone():
            raise ConflictError(
                "this database holds read models already; nothing was changed",
                field="database",
                remedy="name an empty database",
            )
        self._connection = connection
        self._projections = projections
        self._schemas = {each: settle(connection, each).schema for each in projections}
        self._parked: dict[Projection, set[str]] = {each: set() for each in projections}
        self._position = 0

    def take(self, batch: Batch) -> None:
        """See ``Models``."""
        for each, schema in self._schemas.items():
            apply(
                self._connection,
                each,
                schema,
                batch,
                after=self._position,
                parked=self._parked[each],
            )
        self._position = batch.upto

    def states(self, position: int) -> list[ModelState]:
        """See ``Models``."""
        if position > self._position:
            self.take(Batch((), position))
        return model_states(self._connection, self._projections)


def replay(
    export: Export,
    models: Models,
    *,
    as_of: int | datetime | None = None,
    progress: Callable[[int], None] = lambda _position: None,
) -> list[ModelState]:
    """Fold the events of an export up to ``as_of`` and say what the read models are then.

    Every event of the file is checked, also behind that moment. A time means the last position
    that the log had taken by then. Raises ``ExportError`` for a file that is not whole and true,
    or does not begin with the log.
    """
    if models.lasting:
        for _ in export.records():  # nothing is written that would have to be taken back
            pass
    upto = _position_at(export, as_of) if isinstance(as_of, datetime) else as_of
    last = 0
    for batch in _batches(_from_the_first(export), upto):
        if batch.events or batch.unreadable:
            models.take(batch)
        last = batch.upto
        progress(last)
    if upto is not None and upto > export.last:
        raise ExportError(f"it ends at position {export.last}, before {upto}")
    return models.states(export.last if upto is None else upto)


def _from_the_first(export: Export) -> Iterator[Record]:
    for record in export.records():
        if export.first > 1:
            raise ExportError(
                f"it begins at position {export.first}: read models need the log from its first"
                " event on"
            )
        yield record


def _batches(records: Iterable[Record], upto: int | None) -> Iterator[Batch]:
    """Batches to fold; behind ``upto`` empty ones, so that the rest is checked too."""
    events: list[RecordedEvent] = []
    last = 0
    for record in records:
        last = record.sequence
        if upto is not None and last > upto:
            if events:
                yield Batch(events, events[-1].position)
                events = []
            continue
        try:
            events.append(recorded_event(record))
        except PoisonEventError as error:
            yield Batch(events, last, _unreadable(error))
            events = []
        if len(events) >= BATCH:
            yield Batch(events, last)
            events = []
    yield Batch(events, last)


def _unreadable(error: PoisonEventError) -> Unreadable:
    return Unreadable(error.position, error.kind, str(error.aggregate_id), error.reason)


def _position_at(export: Export, moment: datetime) -> int:
    """As ``projections.reading`` finds it: the last one before the log's clock passed the moment.

    While the clock was set back, one time may mean either pass.
    """
    times = [(record.stored_at, record.sequence) for record in export.records()]
    later = min((each for each in times if each[0] > moment), default=None)
    end = later[1] if later else None
    before = [
        position for at, position in times if at <= moment and (end is None or position < end)
    ]
    return max(before, default=0)


def _state(model: MemoryModel, position: int) -> ModelState:
    found = model.state_hash()
    return ModelState(
        name=model.projection.name,
        version=model.projection.version,
        position=position,
        rows=found.rows,
        parked=len(model.parked),
        hash=found.text,
    )
