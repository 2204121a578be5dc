"""Commands about tenants."""

from commands.message import message


@message
class FoundOrganisation:
    """The system begins an organisation. Its id follows from the command's name."""

    name: str


@message
class RenameOrganisation:
    """An admin gives it another name."""

    organisation_id: str
    name: str
