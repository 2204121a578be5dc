"""Numbered SQL files, each applied once and in order: ``schema/migrations/*.sql``."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from ops.hosting.errors import HostingError

_LOCK = 0x1_3E3E
"""Advisory lock: two starters migrate one after the other."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name orders it, its digest shows whether it was edited afterwards."""

    name: str
    text: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def shipped() -> list[Migration]:
    """The migrations of this version, in lexical order of their names."""
    folder = files("schema").joinpath("migrations")
    if not folder.is_dir():
        return []
    found = [each for each in folder.iterdir() if each.name.endswith(".sql")]
    return [Migration(each.name, each.read_text()) for each in sorted(found, key=lambda f: f.name)]


def migrate(
    connection: psycopg.Connection[TupleRow], migrations: Sequence[Migration] | None = None
) -> list[str]:
    """Apply what is missing, all in one transaction; returns the names applied.

    Raises ``HostingError`` when an applied file was edited since: a released migration is never
    changed, a new one is added.
    """
    wanted = shipped() if migrations is None else migrations
    applied: list[str] = []
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        known = _known(connection)
        for each in wanted:
            if each.name not in known:
                connection.execute(sql.SQL(each.text))
                connection.execute(
                    "INSERT INTO imewe.imewe_migrations (name, digest) VALUES (%s, %s)",
                    [each.name, each.digest],
                )
                applied.append(each.name)
            elif known[each.name] != each.digest:
                raise HostingError(
                    f"migration {each.name} was edited after it was applied",
                    remedy="the database can be rebuilt: drop it and start again",
                )
    return applied


def _known(connection: psycopg.Connection[TupleRow]) -> dict[str, str]:
    connection.execute("CREATE SCHEMA IF NOT EXISTS imewe")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS imewe.imewe_migrations ("
        " name text PRIMARY KEY, digest text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now())"
    )
    rows = connection.execute("SELECT name, digest FROM imewe.imewe_migrations").fetchall()
    return dict(rows)
