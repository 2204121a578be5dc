"""Decisions about tenants."""

from commands.handling import handles
from commands.organisations.messages import FoundOrganisation, RenameOrganisation
from commands.world import World
from domain.organisation.aggregate import Organisation


@handles(FoundOrganisation)
def found_organisation(command: FoundOrganisation, world: World) -> Organisation:
    return Organisation.found(world.fresh(Organisation), name=command.name)


@handles(RenameOrganisation)
def rename_organisation(command: RenameOrganisation, world: World) -> Organisation:
    organisation = world.get(Organisation, command.organisation_id)
    organisation.rename(command.name)
    return organisation
