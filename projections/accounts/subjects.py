"""Reads all that concerns one person, for that person or an admin who may export it."""

from collections.abc import Sequence
from dataclasses import dataclass

from projections.history.rows import EventRow
from projections.jobs.rows import JobRow
from projections.querying import Connection, Cursor, Page, Where, fetch_page


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whose data, and in which organisations they may be read; ``None``: the person's own, all.

    Whoever makes one has asked whether it may be read: these queries take no scope beside.
    """

    account_id: str
    organisations: Sequence[str] | None


async def jobs_of_person(
    connection: Connection, subject: Subject, *, first: int = 50, after: Cursor | None = None
) -> Page[JobRow]:
    """Orders that the person submitted, the oldest first (cursor: ``created``). Reads ``jobs``."""
    where = _permitted(subject).add("owner_id = %(person)s", person=subject.account_id)
    return await fetch_page(connection, JobRow, "jobs", where, first=first, after=after)


async def events_about_person(
    connection: Connection, subject: Subject, *, first: int = 50, after: Cursor | None = None
) -> Page[EventRow]:
    """Events that the person caused, and the account's own, in the order of the log (cursor:
    ``position``). Reads ``history``."""
    where = _permitted(subject).add(
        "(actor_kind = 'user' AND actor_id = %(person)s)"
        " OR (kind = 'account' AND aggregate_id = %(person)s)",
        person=subject.account_id,
    )
    return await fetch_page(
        connection, EventRow, "events", where, first=first, after=after, order="position"
    )


def _permitted(subject: Subject) -> Where:
    where = Where()
    if subject.organisations is None:
        return where
    return where.add("organisation_id = ANY(%(places)s)", places=list(subject.organisations))
