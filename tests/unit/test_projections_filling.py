"""What filling a schema rests on: tables nobody looks into, rows remembered, texts for COPY."""

import gc
from collections import Counter
from datetime import UTC, datetime

from ops.projecting.collecting import SELDOM, collecting_seldom
from projections.catalogue import CATALOGUE
from projections.copying import copied
from projections.jobs.projector import Jobs
from projections.jobs.tables import BUILDS
from projections.remembering import RememberedRows
from projections.rows import Need
from projections.table import Column
from tests.stories import busy_shop

EVENTS = busy_shop(6).events


def test_no_fold_looks_into_a_table_without_a_key_nor_writes_a_row_there_again() -> None:
    for projection in CATALOGUE:
        rows = RememberedRows(whole=True)
        for event in EVENTS:
            if event.topic not in projection.topics:
                continue
            assert not [n for n in projection.needs(event) if n.table.only_appended]
            projection.fold(rows, event)
            rows.keep(event.position)
        done = rows.detach()
        assert not [table.name for table, _ in done.fresh() if table.only_appended]
        assert not [table.name for table, _ in done.changed()]


def test_a_row_is_fresh_once_and_looked_for_only_when_it_may_be_stored() -> None:
    rows, jobs = RememberedRows(whole=True, limit=10), Jobs()
    fresh: Counter[str] = Counter()
    half = len(EVENTS) // 2
    for part in (EVENTS[:half], EVENTS[half:]):
        for event in part:
            if event.topic in jobs.topics:
                jobs.fold(rows, event)
                rows.keep(event.position)
        known = {build.id for build in rows.having(BUILDS)}
        done = rows.detach()
        fresh.update(row.id for table, found in done.fresh() if table is BUILDS for row in found)
        if part is EVENTS[:half]:
            assert known
            needs = [Need(BUILDS, ("id",), (each,)) for each in ("stored?", *known)]
            assert Need(BUILDS, ("id",), ("stored?",)) in rows.lacking(needs)
            break
    assert set(fresh.values()) == {1}


def test_a_row_that_is_newer_here_is_not_replaced_by_the_one_that_is_stored() -> None:
    rows = RememberedRows(whole=False)
    made = RememberedRows(whole=True)
    jobs = Jobs()
    for event in EVENTS:
        if event.topic in jobs.topics:
            jobs.fold(made, event)
            made.keep(event.position)
    (first, *_) = made.having(BUILDS)
    rows.load(BUILDS, [first])
    newer = rows.change(BUILDS, first.id, percent=99)
    rows.keep(10_000)
    rows.load(BUILDS, [first])
    assert rows.get(BUILDS, first.id) is newer
    done = rows.detach()
    assert [found for _, found in done.changed()] == [[newer]]
    assert not list(done.fresh())


def test_rows_become_lines_of_text() -> None:
    columns = [
        Column("a", "text", nullable=True),
        Column("b", "bigint", nullable=True),
        Column("c", "jsonb", nullable=False),
        Column("d", "timestamptz", nullable=False),
        Column("e", "boolean", nullable=False),
        Column("f", "double precision", nullable=False),
        Column("g", "json", nullable=False),
    ]
    at = datetime(2026, 11, 22, tzinfo=UTC)
    rows = [
        ("a\tb\\", 2**62, {"x": "\n"}, at, True, 0.1, b'{"a":1}'),
        (None, None, [], at, False, 1e300, b'"\\u0000"'),
    ]
    assert copied(columns, rows).decode().split("\n") == [
        'a\\tb\\\\\t4611686018427387904\t{"x":"\\\\n"}\t2026-11-22T00:00:00+00:00\tTrue\t0.1\t{"a":1}',
        '\\N\t\\N\t[]\t2026-11-22T00:00:00+00:00\tFalse\t1e+300\t"\\\\u0000"',
        "",
    ]


def test_thresholds_are_as_before_when_the_last_is_done() -> None:
    before = gc.get_threshold()
    first, second = collecting_seldom(), collecting_seldom()
    with first:
        second.__enter__()
        assert gc.get_threshold() == SELDOM
    assert gc.get_threshold() == SELDOM
    second.__exit__(None, None, None)
    assert gc.get_threshold() == before
