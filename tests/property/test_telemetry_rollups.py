"""However messages are late, mixed up, repeated and cut into transactions: the rows are the same,
and the same as a simple count of all readings gives."""

import math
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from random import Random
from typing import NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from domain.telemetry.messages import Batch
from ops.database.server import EmbeddedPostgres
from ops.projecting.places import Connection
from projections.telemetry.chunks import decode
from projections.telemetry.known import load
from projections.telemetry.postgres import write
from tests.projecting import migrated
from tests.telemetry import NODE, NOON, batch

CHANNELS = ("temperature.hotend0.actual_c", "power_w")
VALUES = st.integers(-50, 50).map(float)
MESSAGE = st.lists(
    st.tuples(st.integers(NOON - 90_000, NOON + 90_000), st.sampled_from(CHANNELS), VALUES),
    min_size=1,
    max_size=12,
    unique_by=lambda reading: reading[:2],
)


class Story(NamedTuple):
    """Messages 1..n of two starts of a bridge, and how they come in."""

    messages: list[Batch]
    arrivals: list[list[Batch]]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    messages = []
    for epoch in (1, 2):
        for seq, readings in enumerate(draw(st.lists(MESSAGE, max_size=6)), start=1):
            quality = draw(st.none() | st.lists(st.integers(0, 2), min_size=1, max_size=3))
            codes = [quality[n % len(quality)] for n in range(len(readings))] if quality else None
            more = {"q": codes} if codes else {}
            messages.append(batch(readings, epoch=epoch, seq=seq, **more))
    coming = draw(st.permutations(messages + draw(_some_of(messages))))
    cuts = sorted(draw(st.lists(st.integers(0, len(coming)), max_size=4)))
    places = [0, *cuts, len(coming)]
    arrivals = [coming[a:b] for a, b in pairwise(places)]
    return Story(messages, [each for each in arrivals if each])


def _some_of(messages: list[Batch]) -> st.SearchStrategy[list[Batch]]:
    return st.lists(st.sampled_from(messages), max_size=4) if messages else st.just([])


@pytest.fixture(scope="module")
def database(postgres: EmbeddedPostgres) -> Iterator[Connection]:
    name = f"telemetry_{uuid.uuid4().hex}"
    with psycopg.connect(postgres.url, autocommit=True) as outer:
        outer.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        with migrated(make_conninfo(postgres.url, dbname=name)) as connection:
            yield connection
        outer.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(stories())
def test_any_order_gives_the_rows_of_a_simple_count(database: Connection, story: Story) -> None:
    with database.transaction(force_rollback=True), database.cursor() as cursor:
        known = load(cursor, "story")
        for number, arrival in enumerate(story.arrivals, start=1):
            write(cursor, known, upto=number, batches=arrival)
        assert _raw(database) == _readings(story.messages)
        for table, width in (("seconds", 1000), ("minutes", 60_000)):
            _same(_rolled(database, table), _counted(story.messages, width))
        assert _missing(database) == []


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(1, 30), min_size=1), st.randoms(use_true_random=False))
def test_what_never_came_is_a_gap_and_what_came_is_none(
    database: Connection, there: set[int], random: Random
) -> None:
    coming = sorted(there)
    random.shuffle(coming)
    with database.transaction(force_rollback=True), database.cursor() as cursor:
        known = load(cursor, "story")
        for number, seq in enumerate(coming, start=1):
            one = batch([(NOON + seq * 1000, "power_w", 1.0)], seq=seq)
            write(cursor, known, upto=number, batches=[one])
        missing = [seq for first, last in _missing(database) for seq in range(first, last + 1)]
        assert sorted(missing) == sorted(set(range(1, max(there))) - there)


def _raw(database: Connection) -> list[tuple[int, str, float, int]]:
    names = dict(database.execute("SELECT id, channel FROM telemetry.series").fetchall())
    found = []
    rows = database.execute("SELECT begun, series, columns FROM telemetry.chunks").fetchall()
    for begun, series, stored in rows:
        t, c, v, q = decode(stored, begun=begun)
        for at, code, value, worth in zip(t, c, v, q or bytes(len(t)), strict=True):
            found.append((at, names[series[code]], value, worth))
    return sorted(found)


def _readings(messages: Sequence[Batch]) -> list[tuple[int, str, float, int]]:
    return sorted(
        (each.t[n], each.channels[each.c[n]], each.v[n], each.q[n] if each.q else 0)
        for each in messages
        for n in range(len(each.t))
    )


Rolled = dict[tuple[str, int], tuple[float, ...]]


def _rolled(database: Connection, table: str) -> Rolled:
    rows = database.execute(
        "SELECT channel, at, low, high, total, number, r.last, r.last_at"
        f" FROM telemetry.{table} r JOIN telemetry.series s ON s.id = r.series".encode()
    ).fetchall()
    return {(channel, at): tuple(rest) for channel, at, *rest in rows}


def _counted(messages: Sequence[Batch], width: int) -> Rolled:
    groups: defaultdict[tuple[str, int], list[tuple[int, float]]] = defaultdict(list)
    for at, channel, value, worth in _readings(messages):
        if not worth:
            groups[channel, at - at % width].append((at, value))
    counted = {}
    for place, group in groups.items():
        values = [value for _, value in group]
        last_at, last = max(group)
        counted[place] = (min(values), max(values), sum(values), len(values), last, last_at)
    return counted


def _same(found: Rolled, wanted: Rolled) -> None:
    assert found.keys() == wanted.keys()
    for place, values in wanted.items():
        assert all(map(math.isclose, found[place], values)), place


def _missing(database: Connection) -> list[tuple[int, int]]:
    rows = database.execute(
        "SELECT first_seq, last_seq FROM telemetry.gaps WHERE node_id = %s ORDER BY 1", [NODE]
    ).fetchall()
    return [(first, last) for first, last in rows]
