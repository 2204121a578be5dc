"""Erasing a person: the order as an event, the destruction, and its confirmation as an event.

The order goes first and is not to be taken back; then everything that opens the person's sealed
texts is destroyed and looked for in vain; only then the log says that it is done. Whoever finds an
order without its confirmation (the same command again, another one, a start of the service)
takes it to its end. Destroying what is destroyed does nothing.
"""

from typing import Protocol

import orjson
import structlog

from commands.accounts.authentication import Authentication
from commands.accounts.certificate import Certificate, certificate_of
from commands.accounts.messages import ConfirmErasure, EraseSubject
from commands.application import Imewe, Recorded
from commands.authorisation import COMMANDS
from commands.bus import Bus
from commands.handling import handles
from commands.wire import Request
from commands.world import World
from domain.account.aggregate import Account
from domain.account.roles import Role
from domain.account.states import Erasure
from domain.organisation.aggregate import Organisation
from domain.shared.checks import remark
from domain.shared.errors import ImeweError, NotFoundError, UnavailableError

DESTROYED = ("data key", "mail index", "password hash", "kept answers")

log = structlog.get_logger()


class KeptAnswers(Protocol):
    """Answers to commands, kept for a day."""

    def erase_of(self, account_id: str, commands: list[str]) -> None:
        """Destroy the answers given to a person, and those to the named commands."""


@handles(EraseSubject)
def erase_subject(command: EraseSubject, world: World) -> Account:
    """The note that leads to the unfinished erasure after a crash goes before the event."""
    account = world.get(Account, command.subject_id)
    if account.erasure != Erasure.NONE:
        return account
    reason = world.in_own_words(remark("reason", command.reason))
    _leave_admins(account, world)
    people = world.ports.authentication
    key = people.key_of(str(account.id))
    account.begin_erasure(
        reason=reason,
        key=key.name if key else "",
        algorithm=key.algorithm if key else "",
        fingerprint=key.fingerprint if key else "",
    )
    people.note_erasure(str(account.id))
    return account


@handles(ConfirmErasure)
def confirm_erasure(command: ConfirmErasure, world: World) -> Account:
    account = world.get(Account, command.account_id)
    account.confirm_erasure(command.destroyed)
    return account


class Erasing:
    """Takes ordered erasures to their end. Safe to say again, and to share by threads."""

    def __init__(
        self, application: Imewe, people: Authentication, bus: Bus, answers: KeptAnswers
    ) -> None:
        self._application = application
        self._people = people
        self._bus = bus
        self._answers = answers

    def finish(self, account_id: str) -> Certificate:
        """Destroy, look, confirm; the certificate. Raises ``UnavailableError`` when something is
        left, and ``NotFoundError`` when nobody ordered it."""
        account = self._application.find(account_id)
        if not isinstance(account, Account) or account.erasure == Erasure.NONE:
            raise NotFoundError("nobody ordered this erasure", field="subject_id")
        if account.erasure == Erasure.BEGUN:
            self._destroy(account)
            self._confirm(account)
        self._people.forget_erasure(account_id)
        return certificate_of(self._application, account_id)

    def resume(self) -> int:
        """Finish what a crash left, and how many they were; what cannot be now is logged."""
        finished = 0
        for account_id in self._people.noted_erasures():
            try:
                self.finish(account_id)
                finished += 1
            except NotFoundError:
                continue  # noted, and the order was not recorded: nothing was promised
            except ImeweError as error:
                log.error("an erasure is not finished", account=account_id, problem=str(error))
        return finished

    def _destroy(self, account: Account) -> None:
        account_id = str(account.id)
        self._people.destroy(account_id)
        self._answers.erase_of(account_id, list(account.commands))
        left = self._people.remains(account_id)
        if left:
            raise UnavailableError(
                f"not yet erased, something was written meanwhile: {', '.join(left)}",
                remedy="say it again",
            )

    def _confirm(self, account: Account) -> None:
        kind, _, sender = COMMANDS.partition("/")
        order = _order(self._application, account)
        told = {"account_id": str(account.id), "destroyed": DESTROYED}
        self._bus.obey(
            Request(
                sender_kind=kind,
                sender_id=sender,
                name=ConfirmErasure.__name__,
                body=orjson.dumps(told),
                command_id=f"erased-{account.id}",
                organisation_id=account.organisation_id,
                causation=order.headers.get("Imewe-Event", ""),
                correlation=order.headers.get("Imewe-Story", ""),
            )
        )


def _order(application: Imewe, account: Account) -> Recorded:
    topic = Account.ErasureBegun.TOPIC
    return next(each for each in application.recorded(account.id) if each.topic == topic)


def _leave_admins(account: Account, world: World) -> None:
    """The last admin of the organisation stays: ``Organisation.dismiss`` refuses."""
    place = account.organisation_id
    if [Role.ADMIN, place] not in account.grants:
        return
    account.revoke(Role.ADMIN, in_organisation=place)
    organisation = world.get(Organisation, place)
    organisation.dismiss(str(account.id))
    world.beside.append(organisation)
