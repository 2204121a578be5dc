"""The canonical form of a projection's rows: what must be equal, byte for byte, after a rebuild."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from domain.shared.errors import InvalidInputError, NotFoundError, UnavailableError
from ops.projecting.places import Connection, look_at
from projections.canonical import StateHash, selected
from projections.past import AS_OF, past_of
from projections.projection import Projection

FETCH = 2000


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """What a read model is at a position: ``hash`` is defined in ``projections.canonical``.

    ``parked`` counts the aggregates that it had to leave; their rows stayed as they were.
    """

    name: str
    version: int
    position: int
    rows: int
    parked: int
    hash: str


def model_states(
    connection: Connection, projections: Iterable[Projection], *, as_of: int | None = None
) -> list[ModelState]:
    """The read models of one moment, on an autocommit connection.

    ``as_of`` is a position of the past. Raises ``NotFoundError`` for one that was never built,
    ``InvalidInputError`` for a position that it has not reached, and ``UnavailableError`` while
    readers look at another version.
    """
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        return [_state(connection, each, as_of) for each in projections]
    finally:
        connection.execute("ROLLBACK")


def _state(connection: Connection, projection: Projection, as_of: int | None) -> ModelState:
    found = connection.execute(
        "SELECT p.schema, s.position, p.version, (SELECT count(*) FROM imewe.parked_keys k"
        " WHERE k.schema = p.schema AND k.position <= coalesce(%s, s.position))"
        " FROM imewe.projections p JOIN imewe.positions s USING (schema) WHERE p.name = %s",
        [as_of, projection.name],
    ).fetchone()
    if found is None:
        raise NotFoundError(f"projection {projection.name} is not there yet", field="name")
    schema, reached, version, parked = found
    if version != projection.version:
        raise UnavailableError(
            f"{projection.name} is shown in version {version}, this program folds"
            f" {projection.version}",
            remedy="wait until the new version is in use",
        )
    if as_of is not None and as_of > reached:
        raise InvalidInputError(
            f"{projection.name} is at position {reached}, {as_of} is still to come", field="as-of"
        )
    look_at(connection, schema if as_of is None else past_of(schema))
    connection.execute("SELECT set_config(%s, %s, true)", [AS_OF, str(as_of or "")])
    state = StateHash()
    for table in projection.tables:
        state.begin(table)
        with connection.cursor(name="rows of a state") as cursor:
            cursor.execute(selected(table).encode())
            while rows := cursor.fetchmany(FETCH):
                state.take(rows)
    return ModelState(
        name=projection.name,
        version=version,
        position=reached if as_of is None else as_of,
        rows=state.rows,
        parked=parked,
        hash=state.text,
    )


def _table(connection: Connection, name: str, key: str) -> Iterator[bytes]:
    yield f"-- {name}\n".encode()
    statement = f"COPY (SELECT * FROM {name} ORDER BY {key}) TO STDOUT"
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        yield from map(bytes, copy)
