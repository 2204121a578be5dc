"""Clocks jump by an hour, back and forth: the order is the log's, and nothing else changes."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from commands.tokens import Signer, Verifier
from domain.shared.errors import UnauthenticatedError
from domain.shared.recorded import RecordedEvent
from ops.keys import token_keys
from ops.messaging.server import EmbeddedNats
from ops.projecting.places import Connection
from ops.settings import CHECKOUT
from projections.catalogue import CATALOGUE, projection_named
from projections.kpis.projector import HOURS
from tests.notarial import Shop, following, opened_shop
from tests.projecting import migrated, project
from tests.stories import busy_shop

HOUR = timedelta(hours=1)
PLACES = ("commands", "domain", "projections", "gateways", "device_bridge", "ops", "ml")
WALL = re.compile(r"\b(?:datetime\.now|datetime\.utcnow|time\.time|date\.today)\(")
MAY_ASK = {
    "device_bridge/safety/watchman.py": "what the watcher says of when it made a machine safe: a "
    "process that outlives the one whose clock it could be handed",
    "ops/clock.py": "the one clock that is handed on",
    "ops/eventstore/jetstream.py": "what an event says of when it was recorded",
    "ops/recovery/backup.py": "what a backup says of when it was taken",
}


class Jumping:
    """A clock that is set forth and back by an hour each time somebody looks."""

    def __init__(self) -> None:
        self._looks = count()

    def now(self) -> datetime:
        return datetime.now(UTC) + (HOUR if next(self._looks) % 2 else -HOUR)


def _to_and_fro(position: int) -> timedelta:
    return (timedelta(0), HOUR, -HOUR)[position % 3]


def _set_back(position: int) -> timedelta:
    return -24 * HOUR if position > 60 else timedelta(0)


def _jumped(
    events: list[RecordedEvent], jump: Callable[[int], timedelta]
) -> Iterator[RecordedEvent]:
    for event in events:
        by = jump(event.position)
        yield event._replace(
            envelope=event.envelope._replace(occurred_at=event.envelope.occurred_at + by),
            recorded_at=event.recorded_at + by,
            stored_at=event.stored_at + by,
        )


@pytest.mark.parametrize("jump", [_to_and_fro, _set_back])
def test_read_models_go_by_position_whatever_the_clocks_said(
    database_url: str, jump: Callable[[int], timedelta]
) -> None:
    events = busy_shop(6).events
    with migrated(database_url) as connection:
        project(connection, list(_jumped(events, jump)))
        jumped = _without_times(connection)
        assert not connection.execute("SELECT * FROM imewe.parked_keys").fetchall()
        kpis = f"kpis_v{projection_named('kpis').version}"
        amounts = connection.execute(
            f"SELECT connected_ms, executing_ms, completion_ms FROM {kpis}.{HOURS.name}".encode()
        ).fetchall()
        assert amounts
        assert min(amount for row in amounts for amount in row) >= 0
        for projection in CATALOGUE:
            schema = f"{projection.name}_v{projection.version}"
            connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())
        connection.execute("DROP SCHEMA imewe, telemetry CASCADE")
    with migrated(database_url) as connection:
        project(connection, events)
        assert _without_times(connection) == jumped


def _without_times(connection: Connection) -> dict[str, list[object]]:
    """Every row that is shown of orders, machines and material, but for times and durations."""
    found: dict[str, list[object]] = {}
    for name in ("jobs", "nodes", "inventory"):
        schema = f"{name}_v{projection_named(name).version}"
        for table in projection_named(name).tables:
            columns = connection.execute(
                "SELECT string_agg(column_name, ', ' ORDER BY column_name)"
                " FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
                " AND data_type NOT LIKE 'timestamp%%' AND column_name NOT LIKE '%%\\_ms'",
                [schema, table.name],
            ).fetchone() or ("",)
            key = ", ".join(table.key)
            asked = f"SELECT {columns[0]} FROM {schema}.{table.name} ORDER BY {key}"
            found[table.name] = list(connection.execute(asked.encode()).fetchall())
    return found


def test_heads_never_go_back_in_time(
    fresh_nats: EmbeddedNats,
    fresh_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.notarial.SystemClock", Jumping)
    with opened_shop(fresh_nats, fresh_home) as shop, following(shop, tmp_path) as notary:
        for size in (10, 20, 30, 40):
            shop.write(10)
            notary.until_signed(size)
        _expect_in_order(shop)


def _expect_in_order(shop: Shop) -> None:
    times = [head.time for head in shop.heads()]
    assert len(times) >= 4
    assert times == sorted(times)


def test_a_token_is_bad_while_the_clock_is_ahead_and_good_when_it_is_back(tmp_path: Path) -> None:
    tmp_path.joinpath("keys").mkdir(exist_ok=True)
    keys, now = token_keys(tmp_path), datetime.now(UTC)

    class Clock:
        ahead = timedelta(0)

        def now(self) -> datetime:
            return now + self.ahead

    clock = Clock()
    verifier = Verifier(keys.public, clock=clock)
    token = Signer(keys.private).sign(
        account_id="6a5b4c3d-2e1f-5a0b-9c8d-7e6f5a4b3c2d",
        name="Bob",
        grants=[],
        token_id="t",
        now=now,
        ttl_s=900,
    )
    clock.ahead = -HOUR
    assert verifier.verify(token).name == "Bob"
    clock.ahead = HOUR
    with pytest.raises(UnauthenticatedError, match="expired"):
        verifier.verify(token)
    clock.ahead = timedelta(0)
    assert verifier.verify(token).name == "Bob"


def test_nobody_but_the_clock_asks_the_wall_clock() -> None:
    """Leases, time-outs, pauses and back-offs go by monotonic time; what is recorded, by a clock
    that was handed in."""
    asking = {
        str(path.relative_to(CHECKOUT))
        for place in PLACES
        for path in (CHECKOUT / place).rglob("*.py")
        if "bench" not in path.parts and WALL.search(path.read_text())
    }
    assert asking == set(MAY_ASK)
