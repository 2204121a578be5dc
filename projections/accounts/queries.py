"""Reads people and organisations. Call inside ``reading(pool, READS)``."""

from collections.abc import Sequence

from domain.shared.scope import Scope
from projections.accounts.rows import AccountRow, OrganisationRow
from projections.querying import Connection, Cursor, Page, Where, fetch_any, fetch_page

READS = ("accounts",)


async def accounts(
    connection: Connection,
    scope: Scope,
    *,
    first: int = 50,
    after: Cursor | None = None,
    closed: bool | None = None,
) -> Page[AccountRow]:
    """People of the organisations that the scope audits, and oneself (cursor: ``created``)."""
    where = _visible(scope)
    where.if_given(closed, "closed = %(closed)s", closed=closed)
    return await fetch_page(connection, AccountRow, "accounts", where, first=first, after=after)


async def accounts_by_ids(
    connection: Connection, scope: Scope, ids: Sequence[str]
) -> dict[str, AccountRow]:
    """People by id."""
    rows = await fetch_any(
        connection, AccountRow, "accounts", _visible(scope), column="id", ids=ids, order="created"
    )
    return {row.id: row for row in rows}


async def closed_ids(connection: Connection) -> frozenset[str]:
    """Accounts that are closed, of all organisations: for those who check tokens."""
    async with connection.cursor() as cursor:
        await cursor.execute("SELECT id FROM accounts WHERE closed")
        return frozenset(row[0] for row in await cursor.fetchall())


async def organisations_by_ids(
    connection: Connection, scope: Scope, ids: Sequence[str]
) -> dict[str, OrganisationRow]:
    """Organisations in which the scope holds any role."""
    where = Where().add("id = ANY(%(own)s)", own=scope.organisations)
    rows = await fetch_any(
        connection, OrganisationRow, "organisations", where, column="id", ids=ids, order="created"
    )
    return {row.id: row for row in rows}


def _visible(scope: Scope) -> Where:
    return Where().add(
        "organisation_id = ANY(%(audited)s) OR id = %(own)s",
        audited=scope.audited,
        own=scope.account_id,
    )
