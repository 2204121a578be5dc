"""A person who may sign in."""

from typing import Any, Self
from uuid import UUID

from eventsourcing.domain import event

from domain.account.roles import HUMAN, Role
from domain.account.states import Erasure
from domain.shared.aggregate import Created, ImeweAggregate
from domain.shared.checks import remark
from domain.shared.errors import IllegalTransitionError, InvalidInputError
from domain.shared.personal import Personal


class Account(ImeweAggregate):
    """A person with grants. Name and mail are sealed under the person's own key; the
    password's hash is a secret and never an event."""

    TOPIC = "imewe.account:Account"

    class Opened(Created):
        """The person may sign in once a role is granted. ``x-personal``: mail, name."""

        TOPIC = "imewe.account:Opened"
        organisation_id: str
        mail: dict[str, str]
        name: dict[str, str]

    class RoleGranted(ImeweAggregate.Event):
        """The person may act in a role in an organisation."""

        TOPIC = "imewe.account:RoleGranted"
        role: str
        in_organisation: str

    class RoleRevoked(ImeweAggregate.Event):
        """The person may not any more."""

        TOPIC = "imewe.account:RoleRevoked"
        role: str
        in_organisation: str

    class PasswordReplaced(ImeweAggregate.Event):
        """The secret that proves the person was replaced."""

        TOPIC = "imewe.account:PasswordReplaced"

    class Closed(ImeweAggregate.Event):
        """The person may not sign in any more."""

        TOPIC = "imewe.account:Closed"

    class ErasureBegun(ImeweAggregate.Event):
        """Whatever opens the person's sealed texts is destroyed from now on; nobody acts under
        this account again. ``key`` names the person's key as sealed texts do, ``fingerprint`` is
        a SHA-256 of it; ``reason`` is a note, sealed under the key of who ordered the erasure."""

        TOPIC = "imewe.account:ErasureBegun"
        reason: str
        key: str
        algorithm: str
        fingerprint: str

    class Erased(ImeweAggregate.Event):
        """The key is destroyed and was looked for in vain. ``destroyed``: what was."""

        TOPIC = "imewe.account:Erased"
        key: str
        destroyed: list[str]

    @classmethod
    def open(
        cls, account_id: UUID, *, organisation_id: str, mail: Personal, name: Personal
    ) -> Self:
        """Begin an account without any right."""
        return cls._create(
            cls.Opened,
            id=account_id,
            organisation_id=organisation_id,
            mail=mail.stored(),
            name=name.stored(),
        )

    @event(Opened)
    def __init__(self, organisation_id: str, mail: dict[str, str], name: dict[str, str]) -> None:
        self.organisation_id = organisation_id
        self.mail = mail
        self.name = name
        self.grants: list[list[str]] = []
        self.closed = False
        self.erasure = Erasure.NONE.value
        self.key = ""

    def grant(self, role: str, *, in_organisation: str) -> None:
        """Give a role in an organisation."""
        self._refuse_when_closed()
        if role not in HUMAN:
            raise InvalidInputError(
                f"{role} is not one of {', '.join(sorted(HUMAN))}", field="role"
            )
        if [role, in_organisation] not in self.grants:
            self._role_granted(role=Role(role).value, in_organisation=in_organisation)

    def revoke(self, role: str, *, in_organisation: str) -> None:
        """Take a role away."""
        if [role, in_organisation] in self.grants:
            self._role_revoked(role=role, in_organisation=in_organisation)

    def replace_password(self) -> None:
        """Record that the secret was replaced."""
        self._refuse_when_closed()
        self._password_replaced()

    def close(self) -> None:
        """End the account. An admin's is refused: whether another admin is left is decided where
        the role is taken away."""
        if self.closed:
            return
        if any(role == Role.ADMIN for role, _ in self.grants):
            raise IllegalTransitionError(
                f"Account {self.id} is an admin's", remedy="take the role of admin away first"
            )
        self._closed()

    def begin_erasure(self, *, reason: str, key: str, algorithm: str, fingerprint: str) -> None:
        """Close the account and say that its person's key is about to be destroyed. Taking the
        role of admin away, which must leave another admin, is decided with the organisation."""
        if self.erasure != Erasure.NONE:
            return
        self.close()
        self._erasure_begun(
            reason=remark("reason", reason), key=key, algorithm=algorithm, fingerprint=fingerprint
        )

    def confirm_erasure(self, destroyed: list[str]) -> None:
        """Record that nothing is left that opens the person's sealed texts."""
        if self.erasure == Erasure.DONE:
            return
        if self.erasure == Erasure.NONE:
            raise IllegalTransitionError(f"nobody has ordered the erasure of account {self.id}")
        self._erased(key=self.key, destroyed=destroyed)

    def _refuse_when_closed(self) -> None:
        if self.closed:
            raise IllegalTransitionError(f"Account {self.id} is closed")

    @event(RoleGranted)
    def _role_granted(self, role: str, in_organisation: str) -> None:
        self.grants.append([role, in_organisation])

    @event(RoleRevoked)
    def _role_revoked(self, role: str, in_organisation: str) -> None:
        self.grants.remove([role, in_organisation])

    @event(PasswordReplaced)
    def _password_replaced(self) -> None:
        """Nothing to remember: the secret lies elsewhere."""

    @event(Closed)
    def _closed(self) -> None:
        self.closed = True

    @event(ErasureBegun)
    def _erasure_begun(self, reason: str, key: str, algorithm: str, fingerprint: str) -> None:
        self.erasure = Erasure.BEGUN.value
        self.key = key

    @event(Erased)
    def _erased(self, key: str, destroyed: list[str]) -> None:
        self.erasure = Erasure.DONE.value

    @property
    def sealed_mail(self) -> Personal:
        """The mail as it is stored."""
        return Personal.from_stored(self.mail)

    @property
    def sealed_name(self) -> Personal:
        """The name as it is stored."""
        return Personal.from_stored(self.name)


def grants_of(account: Account) -> list[dict[str, Any]]:
    """An account's grants as a token carries them."""
    return [{"role": role, "organisation_id": place} for role, place in account.grants]
