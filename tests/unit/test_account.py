"""People: sealed names, grants of roles, an end."""

from uuid import UUID

import pytest

from domain.account.aggregate import Account, grants_of
from domain.account.roles import HUMAN
from domain.shared.errors import IllegalTransitionError, InvalidInputError
from domain.shared.personal import Personal
from tests.scenario import given

SEALED = Personal(enc="A256GCM", key="k1", nonce="bm9uY2U=", ct="Y3Q=")


def an_account() -> Account:
    return Account.open(UUID(int=7), organisation_id="org", mail=SEALED, name=SEALED)


def closed() -> Account:
    account = an_account()
    account.close()
    return account


def test_an_opened_account_holds_sealed_words_and_no_right() -> None:
    account = an_account()
    assert account.sealed_name == SEALED
    assert grants_of(account) == []


def test_a_role_is_granted_once_and_taken_away_once() -> None:
    role = {"role": "designer", "in_organisation": "org"}
    account = (
        given(an_account())
        .when(lambda a: a.grant("designer", in_organisation="org"))
        .then((Account.RoleGranted, role))
    )
    assert grants_of(account) == [{"role": "designer", "organisation_id": "org"}]
    given(account).when(lambda a: a.grant("designer", in_organisation="org")).then_nothing()
    given(account).when(lambda a: a.revoke("designer", in_organisation="org")).then(
        (Account.RoleRevoked, role)
    )
    given(account).when(lambda a: a.revoke("designer", in_organisation="org")).then_nothing()


@pytest.mark.parametrize("role", ["service", "root", "", "ADMIN"])
def test_only_roles_of_people_are_granted(role: str) -> None:
    assert role not in HUMAN
    given(an_account()).when(lambda a: a.grant(role, in_organisation="org")).then_refused(
        InvalidInputError, field="role"
    )


def test_a_replaced_password_is_recorded_without_it() -> None:
    given(an_account()).when(Account.replace_password).then((Account.PasswordReplaced, {}))


def test_a_closed_account_gets_neither_roles_nor_passwords() -> None:
    given(an_account()).when(Account.close).then((Account.Closed, {}))
    given(closed()).when(Account.close).then_nothing()
    given(closed()).when(lambda a: a.grant("viewer", in_organisation="org")).then_refused(
        IllegalTransitionError
    )
    given(closed()).when(Account.replace_password).then_refused(IllegalTransitionError)


def test_an_admins_account_is_closed_only_after_the_role_is_gone() -> None:
    account = an_account()
    account.grant("admin", in_organisation="org")
    given(account).when(Account.close).then_refused(IllegalTransitionError)
    account.revoke("admin", in_organisation="org")
    given(account).when(Account.close).then((Account.Closed, {}))
