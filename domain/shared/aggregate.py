"""The base of every Imewe aggregate: our own events only, and a memory of obeyed commands."""

from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, ClassVar, Self
from uuid import UUID

from eventsourcing.domain import (
    BaseAggregate,
    CanInitAggregate,
    CanMutateAggregate,
    DomainEvent,
)
from eventsourcing.domain import (
    Snapshot as LibrarySnapshot,
)

REMEMBERED_COMMANDS = 64
PRESENT: ContextVar[datetime] = ContextVar("present", default=datetime(1970, 1, 1, tzinfo=UTC))
"""The moment of the command being decided. The write side sets it; nothing here reads a clock."""


class Fact(DomainEvent, CanMutateAggregate[UUID]):
    """A fact about one aggregate. Fields are JSON values only."""

    command: ClassVar[str] = ""
    """Name of the command that led here; set by the mapper from the envelope."""

    @staticmethod
    def create_timestamp() -> datetime:
        """When it happened: the moment of the command."""
        return PRESENT.get()

    def mutate(self, aggregate: Any) -> Any:
        changed = super().mutate(aggregate)
        if changed is not None and self.command:
            changed.remember(self.command, self.originator_version)
        return changed


class Created(Fact, CanInitAggregate[UUID]):
    """The first fact about one aggregate."""

    originator_topic: str


class AggregateSnapshot(LibrarySnapshot):
    """The folded state of one aggregate at a version; JSON values only."""

    @classmethod
    def take(cls, aggregate: Any) -> Self:
        hidden = {"_id", "_version", "_pending_events"}
        return cls(
            originator_id=aggregate.id,
            originator_version=aggregate.version,
            timestamp=cls.create_timestamp(),
            topic=type(aggregate).TOPIC,
            state={k: v for k, v in vars(aggregate).items() if k not in hidden},
        )


class ImeweAggregate(BaseAggregate[UUID]):
    """Base of all aggregates.

    Public methods decide and may refuse with a typed error. Private ``@event`` methods
    remember: they run again on every replay, so they only assign.

    ``organisation_id`` is set by the creation event of each aggregate. ``commands`` maps the
    names of the last 64 obeyed commands to the version each of them led to.
    """

    organisation_id: str
    commands: dict[str, int]

    class Event(Fact):
        """Parent of this aggregate's own events."""

    Snapshot = AggregateSnapshot

    def __base_init__(
        self, originator_id: UUID, originator_version: int, timestamp: datetime
    ) -> None:
        super().__base_init__(originator_id, originator_version, timestamp)
        self.commands = {}

    def remember(self, command: str, version: int) -> None:
        """Fold the name of an obeyed command; the oldest beyond 64 is forgotten."""
        self.commands[command] = version
        if len(self.commands) > REMEMBERED_COMMANDS:
            del self.commands[next(iter(self.commands))]
