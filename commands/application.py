"""The write side's door to the event log."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable
from uuid import UUID

import structlog
from eventsourcing.application import Application, ProjectorFunction, project_aggregate
from eventsourcing.domain import MutableOrImmutableAggregate
from eventsourcing.persistence import PersistenceError

from domain.aggregates import AGGREGATES
from domain.shared.aggregate import ImeweAggregate
from domain.shared.errors import NotFoundError, UnavailableError
from domain.shared.recorded import Envelope

SNAPSHOT_EVERY = 50

log = structlog.get_logger()


class _Place(Protocol):
    @property
    def sequence(self) -> int: ...


@runtime_checkable
class Placed(Protocol):
    """A stored event that knows its place in the log."""

    @property
    def record(self) -> _Place: ...


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
