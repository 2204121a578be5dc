"""Opening the sealed names and mails of people, for those who may read them."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
from eventsourcing.application import AggregateNotFoundError

from commands.accounts.authentication import Authentication
from commands.application import Imewe
from commands.authorisation import REVEAL, anything, rules_for
from commands.principal import Principal
from commands.tokens import Verifier
from commands.wire import TOKEN
from domain.account.aggregate import Account
from domain.shared.errors import ForbiddenError, InvalidInputError

MOST_AT_ONCE = 500


class Revealing:
    """Answers ``imewe.auth.reveal``, which only the gateway may send.

    An admin of the organisation that opened the account may read it, and so may the person. What
    is read comes from the log, never from the asker: nobody can have other texts opened here.
    """

    def __init__(
        self, application: Imewe, authentication: Authentication, *, verifier: Verifier
    ) -> None:
        self._application = application
        self._people = authentication
        self._verifier = verifier

    def reveal(self, headers: Mapping[str, str] | None, body: bytes) -> dict[str, Any]:
        """``{"account_ids": [...]}`` to ``{"people": {id: {"mail", "name"}}}``.

        Who may not be read, or does not exist, is left out; what was erased is ``None``. Raises
        ``UnauthenticatedError`` and ``InvalidInputError``.
        """
        person = self._verifier.verify((headers or {}).get(TOKEN, ""))
        found = {}
        for account_id in _account_ids(body):
            account = self._account(account_id)
            if account is not None and _may(person, account):
                found[str(account_id)] = self._people.opened(
                    str(account_id), mail=account.sealed_mail, name=account.sealed_name
                )
        return {"people": found}

    def _account(self, account_id: UUID) -> Account | None:
        try:
            account = self._application.load(account_id)
        except AggregateNotFoundError:
            return None
        return account if isinstance(account, Account) else None


def _may(person: Principal, account: Account) -> bool:
    if str(account.id) == person.id:
        return True
    try:
        return anything in rules_for(REVEAL, person, account.organisation_id)
    except ForbiddenError:
        return False


def _account_ids(body: bytes) -> list[UUID]:
    try:
        ids = [UUID(each) for each in orjson.loads(body)["account_ids"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError("account_ids are needed", field="account_ids") from error
    if len(ids) > MOST_AT_ONCE:
        raise InvalidInputError(f"at most {MOST_AT_ONCE} at once", field="account_ids")
    return ids
