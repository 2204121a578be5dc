"""Commands about people who may sign in."""

from dataclasses import field

from commands.message import message


@message
class OpenAccount:
    """An admin, or the system at its first start, opens an account with a first role."""

    mail: str
    name: str
    password: str = field(repr=False)
    role: str


@message
class GrantRole:
    """An admin gives a role in the own organisation."""

    account_id: str
    role: str


@message
class RevokeRole:
    """An admin takes a role away."""

    account_id: str
    role: str


@message
class ReplacePassword:
    """A person replaces the own password, proved by the old one, or an admin somebody's."""

    account_id: str
    password: str = field(repr=False)
    old_password: str = field(default="", repr=False)


@message
class CloseAccount:
    """An admin ends an account."""

    account_id: str


@message
class EraseSubject:
    """An admin has a person's key destroyed for good; the account is closed by it."""

    subject_id: str
    reason: str = ""


@message
class ConfirmErasure:
    """The commands service itself says that the key is destroyed."""

    account_id: str
    destroyed: list[str]
