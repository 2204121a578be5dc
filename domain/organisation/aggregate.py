"""Whose shop it is."""

from typing import Self
from uuid import UUID

from eventsourcing.domain import event

from domain.shared.aggregate import Created, ImeweAggregate
from domain.shared.checks import named
from domain.shared.errors import IllegalTransitionError


class Organisation(ImeweAggregate):
    """A tenant: every other aggregate belongs to exactly one.

    It knows its admins, so that the last one cannot go: an account cannot know of the others, and
    two admins who take each other's role away at the same moment would both find one left. The
    role is given and taken in one batch with the account's own event, and of two at once the log
    takes one and the other decides again.
    """

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

    class AdminAdmitted(ImeweAggregate.Event):
        """One more person is an admin of it."""

        TOPIC = "imewe.organisation:AdminAdmitted"
        account_id: str

    class AdminDismissed(ImeweAggregate.Event):
        """A person is not any more; others are."""

        TOPIC = "imewe.organisation:AdminDismissed"
        account_id: str

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
        self.admins: list[str] = []

    def rename(self, name: str) -> None:
        """Give it another name."""
        wanted = named("name", name)
        if wanted != self.name:
            self._renamed(name=wanted)

    def admit(self, account_id: str) -> None:
        """Count a person among the admins."""
        if account_id not in self.admins:
            self._admin_admitted(account_id=account_id)

    def dismiss(self, account_id: str) -> None:
        """Count a person among them no more. The last one stays."""
        if account_id not in self.admins:
            return
        if len(self.admins) == 1:
            raise IllegalTransitionError(
                "this is the organisation's last admin", remedy="make somebody else an admin first"
            )
        self._admin_dismissed(account_id=account_id)

    @event(AdminAdmitted)
    def _admin_admitted(self, account_id: str) -> None:
        self.admins.append(account_id)

    @event(AdminDismissed)
    def _admin_dismissed(self, account_id: str) -> None:
        self.admins.remove(account_id)

    @event(Renamed)
    def _renamed(self, name: str) -> None:
        self.name = name
