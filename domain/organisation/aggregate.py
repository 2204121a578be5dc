"""Whose shop it is."""

from typing import Self
from uuid import UUID

from eventsourcing.domain import event

from domain.shared.aggregate import Created, ImeweAggregate
from domain.shared.checks import named


class Organisation(ImeweAggregate):
    """A tenant: every other aggregate belongs to exactly one."""

    TOPIC = "imewe.organisation:Organisation"

    class Founded(Created):
        """It began to exist."""

        TOPIC = "imewe.organisation:Founded"
        organisation_id: str
        name: str

    class Renamed(ImeweAggregate.Event):
        """It goes by another name."""

        TOPIC = "imewe.organisation:Renamed"
        name: str

    @classmethod
    def found(cls, organisation_id: UUID, *, name: str) -> Self:
        """Begin an organisation."""
        return cls._create(
            cls.Founded,
            id=organisation_id,
            organisation_id=str(organisation_id),
            name=named("name", name),
        )

    @event(Founded)
    def __init__(self, organisation_id: str, name: str) -> None:
        self.organisation_id = organisation_id
        self.name = name

    def rename(self, name: str) -> None:
        """Give it another name."""
        wanted = named("name", name)
        if wanted != self.name:
            self._renamed(name=wanted)

    @event(Renamed)
    def _renamed(self, name: str) -> None:
        self.name = name
