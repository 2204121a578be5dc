"""What the tests of the past share: a rich story, and two looks at the same moment of it."""

import random
from datetime import timedelta
from typing import Any

from domain.account.aggregate import Account
from domain.inventory.aggregate import Inventory
from domain.node.aggregate import Node
from domain.node.downtime import correct_downtime, withdraw_downtime
from domain.organisation.aggregate import Organisation
from domain.period.aggregate import Period, period_id
from domain.shared.identifiers import derived, lot_id
from domain.shared.moments import told
from domain.shared.recorded import RecordedEvent
from ops.projecting.applying import Batch, apply
from ops.projecting.places import Connection, create
from projections.catalogue import CATALOGUE
from projections.past import AS_OF, past_of
from projections.projection import Projection
from projections.table import Past, Table
from tests.stories import ORGANISATION, SEALED, Shop, Story, busy_shop, replace_organisation


def rich_story(jobs: int = 8, *, seed: int = 1) -> Story:
    """Several shops with jobs made, failed and cancelled, transfers, people and idle machines."""
    story = busy_shop(jobs, seed=seed)
    chance = random.Random(seed)
    second = Shop.opened(story, name="Prusa 2", owner_id="walter")
    people = [_person(story, name) for name in ("bea", "carl")]
    for number in range(4):
        story.later(minutes=chance.randint(1, 50))
        second.make(quantity=chance.randint(1, 2), minutes=chance.randint(1, 80))
        _transfer(second, number)
        _idle(story, second.node)
        _rights(story, people[number % 2], number)
    people[1].close()
    story.tell(people[1])
    _organisation(replace_organisation(story, name="late"))
    _corrections(story, second.node)
    retired = Shop.opened(story, name="Old")
    retired.node.decommission()
    story.tell(retired.node)
    return story


def past_rows(connection: Connection, place: str, table: Table[Any], position: int) -> list[Any]:
    """What a table's view shows of a schema as of a position, by key."""
    with connection.transaction():
        connection.execute("SELECT set_config(%s, %s, true)", [AS_OF, str(position)])
        return _rows(connection, past_of(place), table)


def live_rows(connection: Connection, place: str, table: Table[Any]) -> list[Any]:
    """What a table of a schema holds, by key."""
    return _rows(connection, place, table)


def state_of(connection: Connection, places: dict[str, str], position: int | None) -> str:
    """One text for all tables of all projections, live or as of a position; quick to compare."""
    parts = []
    for projection in CATALOGUE:
        place = places[projection.name]
        schema = place if position is None else past_of(place)
        parts += [_digest(schema, table) for table in projection.tables]
    with connection.transaction():
        connection.execute("SELECT set_config(%s, %s, true)", [AS_OF, str(position or 0)])
        found = connection.execute(" UNION ALL ".join(parts).encode()).fetchall()
    return "\n".join(f"{name} {rows} {digest}" for name, rows, digest in sorted(found))


class Prefix:
    """A fold of the beginning of a story, in schemas of its own, brought on step by step."""

    def __init__(self, connection: Connection, events: list[RecordedEvent]) -> None:
        self.connection = connection
        self.events = events
        self.places = {each.name: f"prefix_{each.name}" for each in CATALOGUE}
        self.position = 0
        self._parked: dict[str, set[str]] = {each.name: set() for each in CATALOGUE}
        for each in CATALOGUE:
            create(connection, each, self.places[each.name])

    def go_to(self, position: int) -> None:
        """Fold what lies before ``position``, it included."""
        if position > self.position:
            batch = Batch(self.events[self.position : position], position)
            for each in CATALOGUE:
                self._apply(each, batch)
            self.position = position

    def _apply(self, projection: Projection, batch: Batch) -> None:
        name = projection.name
        apply(
            self.connection,
            projection,
            self.places[name],
            batch,
            after=self.position,
            parked=self._parked[name],
        )


def _digest(schema: str, table: Table[Any]) -> str:
    key = ", ".join(f"t.{name}" for name in table.key)
    columns = ", ".join(f"t.{name}" for name in table.names)
    rows = f"string_agg(ROW({columns})::text, E'\\n' ORDER BY {key})"
    return (
        f"SELECT '{table.name}' AS name, count(*)::text, md5(coalesce({rows}, ''))"
        f" FROM {schema}.{table.name} t"
    )


def _rows(connection: Connection, schema: str, table: Table[Any]) -> list[Any]:
    columns, key = ", ".join(table.names), ", ".join(table.key)
    text = f"SELECT {columns} FROM {schema}.{table.name} ORDER BY {key}"
    return connection.execute(text.encode()).fetchall()


def keeps_its_past(table: Table[Any]) -> bool:
    """Whether there is a view of it."""
    return table.past is not Past.NONE


def _person(story: Story, name: str) -> Account:
    person = Account.open(
        derived("account", name), organisation_id=story.organisation_id, mail=SEALED, name=SEALED
    )
    story.tell(person)
    return person


def _rights(story: Story, person: Account, number: int) -> None:
    role = ("viewer", "operator")[number // 2]
    person.grant(role, in_organisation=ORGANISATION)
    story.tell(person)
    story.later(minutes=5)
    if number % 2:
        person.revoke(role, in_organisation=ORGANISATION)
        story.tell(person)


def _corrections(story: Story, node: Node) -> None:
    """A month is cut off and closed, and what was recorded is corrected afterwards."""
    month = Period.cut_off(
        period_id(story.organisation_id, "2026-10"),
        organisation_id=story.organisation_id,
        month="2026-10",
        now=story.now,
    )
    story.tell(month)
    month.close(position=len(story.events), figures={}, digest="sha256:" + "0" * 64)
    story.tell(month)
    since, until, now = (node.created_on + timedelta(minutes=each) for each in (1, 61, 90))
    past = [each.event for each in story.events if each.aggregate_id == node.id]
    correct_downtime(node, past, since=told(since), until=told(until), reason="dead", now=now)
    story.tell(node)
    story.later(minutes=5)
    withdraw_downtime(node, since=told(since), reason="a mistake")
    story.tell(node)


def _organisation(story: Story) -> None:
    organisation = Organisation.found(derived("organisation", "late"), name="Late")
    story.tell(organisation)
    organisation.rename("Later")
    story.tell(organisation)


def _transfer(shop: Shop, number: int) -> None:
    story = shop.story
    other = Inventory.open(
        lot_id(shop.node.id, "PLA", f"T{number}"),
        organisation_id=story.organisation_id,
        node_id=str(shop.node.id),
        material="PLA",
        lot=f"T{number}",
        density_ug_per_mm3=1240,
    )
    name, here, there = f"transfer {number}", str(shop.lot.id), str(other.id)
    shop.lot.send_transfer(name, to_inventory_id=there, quantity_mg=5000)
    story.tell(other, shop.lot)
    story.later(minutes=1)
    other.receive_transfer(name, from_inventory_id=here, quantity_mg=5000)
    other.count(4990)
    story.tell(other)


def _idle(story: Story, node: Node) -> None:
    node.clear_bed("anna")
    node.hold("lunch")
    story.tell(node)
    story.later(minutes=20)
    node.end_hold()
    node.stop(by="anna", latency_ms=12)
    node.clear_stop("anna")
    node.begin_maintenance()
    story.tell(node)
    story.later(minutes=20)
    node.end_maintenance()
    node.connect({"firmware": "Marlin"})
    node.clear_bed("anna")
    story.tell(node)
