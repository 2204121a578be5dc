"""For those who replay the log elsewhere: events as they are stored, and hashes to compare with."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any, Self

import strawberry
from psycopg import sql
from strawberry.scalars import JSON

from commands.authorisation import READ_PROOF, permitted_places
from domain.shared.checks import within
from domain.shared.errors import ImeweError, UnavailableError
from gateways.graphql.context import Info
from gateways.graphql.fields import described, resolved, watched
from gateways.graphql.past import AsOf
from gateways.graphql.scalars import Int53, Position
from gateways.security.exports import Page
from projections.canonical import StateHash, selected
from projections.catalogue import CATALOGUE
from projections.past import past_of
from projections.projection import Projection
from projections.reading import Reading, reading

PAGE_LIMIT = 500
PAGE_BYTES = 4 << 20
FETCH = 2000
TELL_EVERY = 10 * FETCH
ORGANISATION = "Imewe-Org"
_BEGIN = Position(0)

_STANDING = """
SELECT schema, version, (SELECT count(*) FROM imewe.parked_keys k
    WHERE k.schema = p.schema AND k.position <= %s)
FROM imewe.projections p WHERE name = %s
"""

First = Annotated[int, strawberry.argument(description="How many, 1 to 500.")]
Behind = Annotated[Position, strawberry.argument(description="Go on behind this position.")]
UpTo = Annotated[
    Position | None,
    strawberry.argument(description="Show nothing behind this position: the reading ends there."),
]


@strawberry.type(description="One event of the log as it is stored: what its hash covers.")
class StoredEvent:
    position: Position = described("Its place in the log.")
    time: str = described("When the log server took it, in the server's own text.")
    subject: str = described("Its subject in the log.")
    headers: JSON = described("Its headers that are Imewe's, the hash among them.")
    text: str | None = described("The body as it is stored, byte for byte.")
    body: str | None = described("The same in base64 where it is no UTF-8.")

    @classmethod
    def of(cls, told: dict[str, Any]) -> Self:
        """From what the log gives."""
        return cls(
            position=Position(told["sequence"]),
            time=told["time"],
            subject=told["subject"],
            headers=JSON(told["headers"]),
            text=told.get("text"),
            body=told.get("body"),
        )


@strawberry.type(description="A stretch of the log, as far as you audit it.")
class StoredEvents:
    events: list[StoredEvent] = described("In the order of the log.")
    position: Position = described("Go on behind this one; others' events lie before it too.")
    left_out: int = described("Events of organisations that you do not audit, up to there.")
    end: Position = described("Where the log ends now.")
    organisations: list[strawberry.ID] = described("Those that you audit.")


@strawberry.type(
    description="What a read model is at a position: equal hashes mean equal rows. How it is made"
    " stands in ops/docs/state-hash.md."
)
class StateHashShown:
    name: str = described("The read model.")
    version: int = described("The version of its fold.")
    position: Position = described("Everything up to here is in it, and nothing later.")
    rows: Int53 = described("Rows so far.")
    parked: Int53 = described("Objects with an event that could not be folded.")
    hash: str | None = described("sha256: and 64 hex digits; null while it is being computed.")


@strawberry.type
class ReplayQuery:
    @resolved("Events as they are stored, for those who audit: to check and to replay elsewhere.")
    async def stored_events(
        self, info: Info, after: Behind = _BEGIN, first: First = 200, up_to: UpTo = None
    ) -> StoredEvents:
        caller, gateway = info.context.caller, info.context.gateway
        places = permitted_places(READ_PROOF, caller.person())
        within("first", first, 1, PAGE_LIMIT)
        try:
            end = await gateway.log.last_position()
            last = end if up_to is None else min(up_to, end)
            wanted = min(first, last - after)
            found = _bounded(await gateway.log.read(after, wanted)) if wanted > 0 else []
        except ImeweError as error:
            await gateway.exports.breaks(caller, after, error)
            raise
        shown = [each for each in found if each["headers"].get(ORGANISATION) in places]
        position = int(found[-1]["sequence"]) if found else after
        if found:
            page = Page(after=after, position=position, last=last, shown=len(shown))
            await gateway.exports.shows(caller, page)
        return StoredEvents(
            events=[StoredEvent.of(each) for each in shown],
            position=Position(position),
            left_out=len(found) - len(shown),
            end=Position(end),
            organisations=[strawberry.ID(place) for place in sorted(places)],
        )


@strawberry.type
class ReplaySubscription:
    @watched(
        "The state hash of every read model, one after the other, all at one moment; for those who"
        " audit. Large ones say how far they are."
    )
    async def projection_hashes(
        self, info: Info, as_of: AsOf = None
    ) -> AsyncGenerator[StateHashShown, None]:
        permitted_places(READ_PROOF, info.context.caller.person())
        gateway = info.context.gateway
        when = as_of.when(gateway.clock) if as_of else None
        names = [projection.name for projection in CATALOGUE]
        async with gateway.hashing, reading(gateway.pool, names, as_of=when) as now:
            for projection in CATALOGUE:
                async for shown in _hashed(now, projection):
                    yield shown


async def _hashed(now: Reading, projection: Projection) -> AsyncGenerator[StateHashShown, None]:
    moment = now.moment
    position = moment.position if moment else now.positions[projection.name]
    schema, version, parked = await _standing(now, projection.name, position)
    if version != projection.version:
        raise UnavailableError(
            f"{projection.name} is shown in version {version}, this program folds"
            f" {projection.version}",
            remedy="ask again when the new version is in use",
        )
    path = sql.Identifier(past_of(schema) if moment else schema).as_string()
    await now.connection.execute("SELECT set_config('search_path', %s, true)", [path])
    state = StateHash()

    def shown(found: str | None) -> StateHashShown:
        return StateHashShown(
            name=projection.name,
            version=version,
            position=Position(position),
            rows=Int53(state.rows),
            parked=Int53(parked),
            hash=found,
        )

    for table in projection.tables:
        state.begin(table)
        async with now.connection.cursor(name="rows of a state") as cursor:
            await cursor.execute(selected(table).encode())
            while rows := await cursor.fetchmany(FETCH):
                state.take(rows)
                if state.rows % TELL_EVERY == 0:
                    yield shown(None)
    yield shown(state.text)


async def _standing(now: Reading, name: str, position: int) -> tuple[str, int, int]:
    cursor = await now.connection.execute(_STANDING, [position, name])
    ((schema, version, parked),) = await cursor.fetchall()
    return schema, version, parked


def _bounded(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many as an answer should carry, and one at least."""
    size = 0
    for index, each in enumerate(found):
        size += len(each.get("text") or each.get("body") or "")
        if size > PAGE_BYTES and index:
            return found[:index]
    return found
