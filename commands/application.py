"""The write side's door to the event log."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, cast, runtime_checkable
from uuid import UUID

import structlog
from eventsourcing.application import (
    AggregateNotFoundError,
    Application,
    ProjectorFunction,
    project_aggregate,
)
from eventsourcing.domain import MutableOrImmutableAggregate
from eventsourcing.persistence import PersistenceError

from domain.aggregates import AGGREGATES
from domain.shared.aggregate import Fact, ImeweAggregate
from domain.shared.errors import NotFoundError, UnavailableError
from domain.shared.recorded import Envelope

SNAPSHOT_EVERY = 50

log = structlog.get_logger()


class Recorded(Protocol):
    """One event as it is stored."""

    @property
    def sequence(self) -> int: ...

    @property
    def topic(self) -> str: ...

    @property
    def headers(self) -> dict[str, str]: ...

    @property
    def body(self) -> bytes: ...


@runtime_checkable
class Placed(Protocol):
    """A stored event that knows its place in the log."""

    originator_version: int

    @property
    def record(self) -> Recorded: ...


class Imewe(Application[UUID]):
    """All aggregates on one log. The environment names the ``PERSISTENCE_MODULE``."""

    name = "imewe"
    snapshotting_intervals: ClassVar[dict[type[MutableOrImmutableAggregate[Any]], int]] = (
        dict.fromkeys(AGGREGATES, SNAPSHOT_EVERY)
    )

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(dict(env))

    def record(self, *aggregates: ImeweAggregate, envelope: Envelope) -> int:
        """Save all pending events or none; the position of the last aggregate's last one.

        Raises the library's ``IntegrityError`` when somebody else was first.
        """
        recordings = self.save(*aggregates, envelope=envelope)
        return int(recordings[-1].notification.id)

    def load(self, aggregate_id: UUID, version: int | None = None) -> ImeweAggregate:
        """The aggregate, now or as of a version. Raises ``AggregateNotFoundError``."""
        found: ImeweAggregate = self.repository.get(aggregate_id, version=version)
        return found

    def past(self, aggregate_id: UUID, version: int) -> list[Fact]:
        """All events of an aggregate up to a version, the first one first."""
        return [cast("Fact", each) for each in self.events.get(aggregate_id, lte=version)]

    def version_at(self, aggregate_id: UUID, position: int) -> int:
        """Which of an aggregate's events lies at a position. Raises ``NotFoundError``."""
        for stored in self.recorder.select_events(aggregate_id):
            if isinstance(stored, Placed) and stored.record.sequence == position:
                return stored.originator_version
        raise NotFoundError(f"position {position} is none of its events", field="position")

    def find(self, aggregate_id: str) -> ImeweAggregate | None:
        """The aggregate, or ``None`` for what is no id or the id of none."""
        try:
            return self.load(UUID(aggregate_id))
        except (ValueError, AggregateNotFoundError):
            return None

    def recorded(self, aggregate_id: UUID) -> list[Recorded]:
        """The aggregate's events as they are stored, the oldest first."""
        found = self.recorder.select_events(aggregate_id)
        return [stored.record for stored in found if isinstance(stored, Placed)]

    def position_of(self, aggregate_id: UUID, version: int) -> int:
        """Where in the log that version of the aggregate was recorded."""
        for stored in self.recorder.select_events(aggregate_id, gt=version - 1, lte=version):
            if isinstance(stored, Placed):
                return stored.record.sequence
        raise NotFoundError(f"{aggregate_id} has no version {version}")

    def take_snapshot(
        self,
        aggregate_id: UUID,
        version: int | None = None,
        projector_func: ProjectorFunction[Any, Any] = project_aggregate,
    ) -> None:
        """Snapshots only save time: the events before are recorded, whatever becomes of it."""
        try:
            super().take_snapshot(aggregate_id, version, projector_func)
        except (PersistenceError, UnavailableError) as error:
            log.warning("no snapshot", aggregate=str(aggregate_id), problem=str(error))
