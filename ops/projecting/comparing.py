"""The canonical form of a projection's rows: what must be equal, byte for byte, after a rebuild."""

from collections.abc import Iterator
from hashlib import sha256

from domain.shared.errors import NotFoundError
from ops.projecting.places import Connection, look_at
from projections.projection import Projection


def canonical(connection: Connection, projection: Projection) -> Iterator[bytes]:
    """Every table in use in the order of its key, as COPY text. Raises ``NotFoundError``."""
    with connection.transaction():
        row = connection.execute(
            "SELECT schema FROM imewe.projections WHERE name = %s", [projection.name]
        ).fetchone()
        if row is None:
            raise NotFoundError(f"projection {projection.name} is not there yet", field="name")
        look_at(connection, row[0])
        for table in projection.tables:
            yield from _table(connection, table.name, ", ".join(table.key))
            if table.history:
                yield from _table(
                    connection, f"{table.name}_history", f"{', '.join(table.key)}, as_of"
                )


def fingerprint(connection: Connection, projection: Projection) -> str:
    """SHA-256 of the canonical form, in hex."""
    digest = sha256()
    for part in canonical(connection, projection):
        digest.update(part)
    return digest.hexdigest()


def _table(connection: Connection, name: str, key: str) -> Iterator[bytes]:
    yield f"-- {name}\n".encode()
    statement = f"COPY (SELECT * FROM {name} ORDER BY {key}) TO STDOUT"
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        yield from map(bytes, copy)
