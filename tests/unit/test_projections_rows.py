"""Small rules of the read side that need no database."""

import ast
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from domain.build.aggregate import Build
from domain.dispatch.aggregate import Dispatch
from domain.job.aggregate import Job
from domain.part.aggregate import Part
from domain.shared.errors import NotFoundError
from projections import replacing
from projections.catalogue import CATALOGUE, projection_named
from projections.cells import json_cell, text_cell, verbatim_cell
from projections.jobs.rows import BuildRow
from projections.jobs.tables import JOBS
from projections.jobs.words import WORDS, words_of
from projections.kpis.projector import HOURS, SUBJECTS, Kpis
from projections.kpis.queries import overlap_ms
from projections.kpis.shares import split
from projections.projection import topics_of
from projections.rows import FixedColumnError, MissingRowError, Rows
from tests.stories import BEGIN, ORGANISATION, Shop, Story, busy_shop

ROOT = Path(__file__).parents[2] / "projections"


def test_no_projector_knows_a_clock_or_chance() -> None:
    for path in ROOT.rglob("*.py"):
        if path.name in {"reading.py", "queries.py", "querying.py"}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", "")}
                assert not names & {"time", "random", "secrets", "uuid4", "uuid1", "os"}, path
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"now", "utcnow", "today"}, path


def test_every_event_of_a_job_has_words() -> None:
    assert {event.TOPIC for event in WORDS} == topics_of(Job, Part, Build, Dispatch)
    told = {words_of(each.event) for each in busy_shop(4).events if each.kind != "node"}
    assert "Piece 1 is scrap: thermal" in told
    assert not [words for words in told if "{" in words]


def test_nul_never_reaches_postgresql_and_hashed_bytes_stay() -> None:
    assert text_cell("a\0b") == "a\ufffdb"
    assert orjson.loads(json_cell({"a\0": ["b\0", 1, None]}) or "") == {
        "a\ufffd": ["b\ufffd", 1, None]
    }
    assert json_cell({"a": "\\u0000"}) == '{"a":"\\\\u0000"}'
    assert verbatim_cell(b'{"a":"\\u0000"}') == '{"a":"\\u0000"}'


def test_what_a_failed_fold_did_is_forgotten() -> None:
    story = Story()
    Shop.opened(story).order()
    rows = Rows()
    submitted = next(event for event in story.events if event.kind == "job")
    projection = projection_named("jobs")
    projection.fold(rows, submitted)
    rows.keep(submitted.position)
    job_id = str(submitted.aggregate_id)
    rows.change(JOBS, job_id, priority=9)
    rows.touch("nobody")
    assert rows.get(JOBS, job_id).priority == 9
    rows.drop()
    assert rows.get(JOBS, job_id).priority == 5
    assert rows.touched == [job_id]
    with pytest.raises(MissingRowError):
        rows.get(JOBS, "nobody")


def test_what_a_table_calls_fixed_cannot_change() -> None:
    story = Story()
    Shop.opened(story).order()
    rows = Rows()
    submitted = next(event for event in story.events if event.kind == "job")
    projection_named("jobs").fold(rows, submitted)
    rows.keep(submitted.position)
    with pytest.raises(FixedColumnError, match="in jobs"):
        rows.change(JOBS, str(submitted.aggregate_id), name="Other")


def test_an_interval_is_split_at_full_hours() -> None:
    begin = datetime(2026, 11, 21, 10, 45, tzinfo=UTC)
    shares = list(split(begin, begin + timedelta(hours=2)))
    assert [ms // 60_000 for _, ms in shares] == [15, 60, 45]
    assert [hour.hour for hour, _ in shares] == [10, 11, 12]
    assert list(split(begin, begin - timedelta(minutes=1))) == []


def test_overlap_counts_only_what_is_shared() -> None:
    hour = timedelta(hours=1)
    assert overlap_ms(BEGIN, None, BEGIN - hour, BEGIN + hour) == 3_600_000
    assert overlap_ms(BEGIN, BEGIN + hour / 2, BEGIN, BEGIN + hour) == 1_800_000
    assert overlap_ms(BEGIN - hour, BEGIN, BEGIN, BEGIN + hour) == 0
    assert overlap_ms(None, BEGIN, BEGIN, BEGIN + hour) == 0


def test_a_scrapped_first_try_is_no_first_time_success() -> None:
    rows = Rows()
    for event in busy_shop(3).events:
        if event.topic in Kpis.topics and event.envelope.organisation_id == ORGANISATION:
            Kpis().fold(rows, event)
            rows.keep(event.position)
    (_, hours), *_ = [found for found in rows.sums() if found[0] is HOURS]
    scrapped = sum(row.pieces_scrapped for row in hours)
    passed = sum(row.pieces_passed for row in hours)
    assert scrapped == 1
    assert sum(row.first_tries for row in hours) == passed
    assert sum(row.first_passes for row in hours) == passed - 1
    remembered = [row for table, found in rows.changed() if table is SUBJECTS for row in found]
    assert {subject.kind for subject in remembered} == {"job", "part", "build", "node"}


def test_a_row_keeps_its_history_at_the_position_of_each_event() -> None:
    story = Story()
    Shop.opened(story).order()
    rows = Rows()
    jobs = [event for event in story.events if event.kind == "job"]
    for event in jobs:
        projection_named("jobs").fold(rows, event)
        rows.keep(event.position)
    lines = [line for table, found in rows.lines() if table is JOBS for line in found]
    assert [line.position for line in lines] == [event.position for event in jobs]
    assert [line.row.status for line in lines] == ["SUBMITTED", "VALIDATED", "SCHEDULED"]
    assert replace(lines[0].row, status="X") != lines[0].row


def test_names_of_tables_are_unique_because_readers_see_them_together() -> None:
    names = [table.name for projection in CATALOGUE for table in projection.tables]
    assert len(names) == len(set(names))


def test_an_unknown_projection_is_a_clear_refusal() -> None:
    with pytest.raises(NotFoundError, match="no projection weather"):
        projection_named("weather")


def test_a_row_is_replaced_as_the_library_replaces_it() -> None:
    row = BuildRow(**{each.name: each.name for each in fields(BuildRow)})  # type: ignore[arg-type]
    changed = replacing.replace(row, status="FAILED", percent=7)
    assert changed == replace(row, status="FAILED", percent=7)
    assert row.status == "status"
    with pytest.raises(TypeError, match="colour"):
        replacing.replace(row, colour="red")
