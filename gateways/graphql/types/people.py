"""People and what they may do."""

from typing import Self

import strawberry

from domain.account.roles import Role
from domain.shared.scope import Grant as ScopeGrant
from gateways.graphql.context import Info
from gateways.graphql.fields import described, resolved
from gateways.graphql.scalars import Instant, Position
from projections.accounts.rows import AccountRow

strawberry.enum(Role, description="What a person or a service may do in an organisation.")


@strawberry.type(description="A role in an organisation.")
class Grant:
    role: Role = described("The role.")
    organisation_id: strawberry.ID = described("Where it holds.")

    @classmethod
    def of(cls, grant: ScopeGrant) -> Self:
        """From a verified token."""
        return cls(role=Role(grant.role), organisation_id=strawberry.ID(grant.organisation_id))


@strawberry.type(description="Who the token belongs to.")
class Me:
    account_id: strawberry.ID = described("The account.")
    name: str = described("The person's name.")
    grants: list[Grant] = described("The first one's organisation is meant when none is named.")


@strawberry.type(description="A person who may sign in.")
class Account:
    id: strawberry.ID = described("Its id.")
    organisation_id: strawberry.ID = described("The tenant that opened it.")
    grants: list[Grant] = described("What the person may do.")
    closed: bool = described("The person may not sign in any more.")
    erased_at: Instant | None = described("When the person was erased: nothing opens any more.")
    opened_at: Instant = described("When it was opened.")
    position: Position = described("The last event that changed it.")

    @resolved("The name, for the person and its admins; null when erased or not yours to read.")
    async def name(self, info: Info) -> str | None:
        return (await info.context.loaders.person_of_account.load(self.id))["name"]

    @resolved("The mail address, as the name.")
    async def mail(self, info: Info) -> str | None:
        return (await info.context.loaders.person_of_account.load(self.id))["mail"]

    @classmethod
    def of(cls, row: AccountRow) -> Self:
        """From a committed row."""
        return cls(
            id=strawberry.ID(row.id),
            organisation_id=strawberry.ID(row.organisation_id),
            grants=[
                Grant(
                    role=Role(grant["role"]),
                    organisation_id=strawberry.ID(grant["organisation_id"]),
                )
                for grant in row.grants
            ],
            closed=row.closed,
            erased_at=Instant(row.erased_at) if row.erased_at else None,
            opened_at=Instant(row.opened_at),
            position=Position(row.position),
        )
