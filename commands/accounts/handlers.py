"""Decisions about people who may sign in."""

from commands.accounts.authentication import MAIL_TAKEN
from commands.accounts.messages import (
    CloseAccount,
    GrantRole,
    OpenAccount,
    ReplacePassword,
    RevokeRole,
)
from commands.handling import handles
from commands.principal import USER
from commands.world import World
from domain.account.aggregate import Account
from domain.account.roles import Role
from domain.organisation.aggregate import Organisation
from domain.shared.errors import InvalidInputError


@handles(OpenAccount)
def open_account(command: OpenAccount, world: World) -> Account:
    """The secrets go first: without the account they open nothing, and a retry writes them again.
    Mail and name are sealed before the aggregate sees them."""
    account_id = world.fresh(Account, look=True)
    people = world.ports.authentication
    _refuse_when_taken(command.mail, str(account_id), world)
    mail, name = people.sealed(str(account_id), mail=command.mail, name=command.name)
    account = Account.open(account_id, organisation_id=world.home(), mail=mail, name=name)
    account.grant(command.role, in_organisation=world.home())
    _count_admin(command.role, account, world)
    people.enrol(str(account_id), mail=command.mail, password=command.password)
    return account


@handles(GrantRole)
def grant_role(command: GrantRole, world: World) -> Account:
    account = world.get(Account, command.account_id)
    account.grant(command.role, in_organisation=world.organisation_id)
    _count_admin(command.role, account, world)
    return account


@handles(RevokeRole)
def revoke_role(command: RevokeRole, world: World) -> Account:
    account = world.get(Account, command.account_id)
    account.revoke(command.role, in_organisation=world.organisation_id)
    if command.role == Role.ADMIN and account.pending_events:
        organisation = world.get(Organisation, account.organisation_id)
        organisation.dismiss(str(account.id))
        world.beside.append(organisation)
    return account


@handles(ReplacePassword)
def replace_password(command: ReplacePassword, world: World) -> Account:
    account = world.get(Account, command.account_id)
    _prove(command, account, world)
    account.replace_password()
    world.ports.authentication.replace_password(str(account.id), command.password)
    return account


@handles(CloseAccount)
def close_account(command: CloseAccount, world: World) -> Account:
    account = world.get(Account, command.account_id)
    account.close()
    world.ports.authentication.forget_password(str(account.id))
    return account


def _prove(command: ReplacePassword, account: Account, world: World) -> None:
    """A token that was left lying about must not be enough to take an account over."""
    principal = world.principal
    if principal.kind != USER or any(
        grant.role == Role.ADMIN and grant.organisation_id == account.organisation_id
        for grant in principal.grants
    ):
        return
    if not world.ports.authentication.proves(str(account.id), command.old_password):
        raise InvalidInputError("the old password is wrong", field="old_password")


def _count_admin(role: str, account: Account, world: World) -> None:
    if role == Role.ADMIN and account.pending_events:
        organisation = world.get(Organisation, account.organisation_id)
        organisation.admit(str(account.id))
        world.beside.append(organisation)


def _refuse_when_taken(mail: str, account_id: str, world: World) -> None:
    """An address is free again when its account was closed, or never came to be."""
    people = world.ports.authentication
    holder = people.account_of(mail)
    if holder in {None, account_id}:
        return
    account = world.find_anywhere(Account, str(holder))
    if account is not None and not account.closed:
        raise InvalidInputError(MAIL_TAKEN, field="mail")
    people.release_mail(mail)
