"""An export of a real log, replayed elsewhere: the same read models, or a named flaw."""

import gzip
import json
import sys
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest

from domain.shared.errors import ConflictError
from ops.eventstore.envelope import STORED, Record
from ops.eventstore.reader import recorded_event
from ops.messaging.server import EmbeddedNats
from ops.projecting.comparing import ModelState, model_states
from ops.replaying.errors import ExportError, MissingExtraError
from ops.replaying.reading import Export
from ops.replaying.replay import DatabaseModels, MemoryModels
from ops.replaying.replay import replay as replayed
from ops.replaying.writing import FORMATS, Format
from ops.settings import Settings
from projections.catalogue import CATALOGUE
from tests.eventlog import own_log
from tests.projecting import migrated, project
from tests.proving import files
from tests.replaying import exported, stored
from tests.stories import busy_shop


@pytest.fixture(scope="module")
def found(nats_server: EmbeddedNats, settings: Settings) -> Iterator[list[Record]]:
    with own_log(nats_server, settings) as log:
        yield stored(log, busy_shop(6).events)


@pytest.fixture
def export(found: list[Record], tmp_path: Path) -> Path:
    return exported(tmp_path / "log.jsonl", found)


def hashes(states: list[ModelState]) -> dict[str, str]:
    return {each.name: each.hash for each in states}


def in_memory(path: Path, **more: Any) -> list[ModelState]:
    return replayed(Export(path), MemoryModels(CATALOGUE), **more)


def told(path: Path) -> list[Record]:
    return list(Export(path).records())


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_gives_back_what_is_stored_byte_for_byte(
    found: list[Record], tmp_path: Path, format: Format
) -> None:
    again = told(exported(tmp_path / "log", found, format=format))
    assert [(r.sequence, r.subject, r.body, r.hash, r.stored_at) for r in again] == [
        (r.sequence, r.subject, r.body, r.hash, r.stored_at) for r in found
    ]
    assert len(found) > 100


def test_a_replay_elsewhere_gives_the_live_states_in_memory_and_in_postgresql(
    found: list[Record], export: Path, database_url: str
) -> None:
    events = [recorded_event(record) for record in found]
    with migrated(database_url) as live:
        project(live, events)
        middle = len(events) // 2
        for position in (None, middle):
            expected = hashes(model_states(live, CATALOGUE, as_of=position))
            assert hashes(in_memory(export, as_of=position)) == expected
        live.execute("CREATE DATABASE elsewhere TEMPLATE template0")
    elsewhere = psycopg.conninfo.make_conninfo(database_url, dbname="elsewhere")
    try:
        with psycopg.connect(elsewhere, autocommit=True) as connection:
            states = replayed(Export(export), DatabaseModels(connection, CATALOGUE), as_of=middle)
            assert hashes(states) == expected
            assert {each.position for each in states} == {middle}
            with pytest.raises(ConflictError, match="holds read models already"):
                DatabaseModels(connection, CATALOGUE)
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("DROP DATABASE elsewhere WITH (FORCE)")


def test_a_time_means_the_last_position_that_the_log_had_by_then(
    found: list[Record], export: Path
) -> None:
    chosen = found[len(found) // 3]
    assert in_memory(export, as_of=chosen.stored_at)[0].position == chosen.sequence
    before = found[0].stored_at - timedelta(seconds=1)
    assert in_memory(export, as_of=before)[0].position == 0
    after = found[-1].stored_at + timedelta(days=1)
    assert in_memory(export, as_of=after)[0].position == found[-1].sequence
    with pytest.raises(ExportError, match="ends at position"):
        in_memory(export, as_of=found[-1].sequence + 1)


def test_while_the_clock_was_set_back_a_time_means_the_first_pass(
    found: list[Record], tmp_path: Path
) -> None:
    begin = found[0].stored_at
    seconds = [number if number < 20 else number - 10 for number in range(40)]
    moved = [
        replace(each, headers={**each.headers, STORED: (begin + timedelta(seconds=s)).isoformat()})
        for each, s in zip(found, seconds, strict=False)
    ]
    path = exported(tmp_path / "log", moved)
    for second, position in ((5, 6), (15, 16), (25, 36)):
        states = in_memory(path, as_of=begin + timedelta(seconds=second, milliseconds=1))
        assert states[0].position == position


def test_an_empty_log_can_be_exported_and_replayed(tmp_path: Path) -> None:
    for format in FORMATS:
        states = in_memory(exported(tmp_path / format, [], format=format))
        assert {each.rows for each in states} == {0}
        assert {each.position for each in states} == {0}


def test_one_organisations_export_says_that_it_is_not_the_whole(
    found: list[Record], tmp_path: Path
) -> None:
    organisation = found[0].headers["Imewe-Org"]
    some = [record for record in found if record.headers["Imewe-Org"] == organisation]
    assert 0 < len(some) < len(found)
    path = exported(tmp_path / "some", some, places=(organisation,), last=found[-1].sequence)
    export = Export(path)
    assert replayed(export, MemoryModels(CATALOGUE))[0].position == found[-1].sequence
    assert not export.is_whole
    lacking = some[:20] + some[21:]
    with pytest.raises(ExportError, match=r"after|chain"):
        told(exported(tmp_path / "lacking", lacking, places=(organisation,)))


def test_a_part_of_the_log_can_be_read_and_not_replayed(
    found: list[Record], tmp_path: Path
) -> None:
    for format in FORMATS:
        path = exported(tmp_path / format, found[50:], format=format, first=51)
        assert [record.sequence for record in told(path)] == list(range(51, len(found) + 1))
        with pytest.raises(ExportError, match="begins at position 51"):
            in_memory(path)


def test_a_proofs_events_are_replayed_as_well(found: list[Record], tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"imewe_proof": 1, "kind": "range", "from": 1, "to": len(found), "job_id": None},
        {"head": "a note"},
    ]
    for record in found:
        own = {k: v for k, v in record.headers.items() if k.startswith("Imewe-")}
        event = {
            "sequence": record.sequence,
            "time": record.headers["Nats-Time-Stamp"].strip(),
            "subject": record.subject,
            "headers": own,
            "body": b64encode(record.body).decode(),
        }
        lines.append({"event": event})
    text = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    end = {"events": len(found), "unsigned_tail": 0, "sha256": sha256(text).hexdigest()}
    path = tmp_path / "log.imewe-proof.jsonl.gz"
    path.write_bytes(gzip.compress(text + json.dumps({"end": end}).encode() + b"\n"))
    plain = exported(tmp_path / "plain", found)
    assert hashes(in_memory(path)) == hashes(in_memory(plain))


def test_nothing_is_written_into_a_database_from_a_file_with_a_flaw(
    export: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.replaying.replay.BATCH", 10)
    lines = export.read_bytes().splitlines(keepends=True)
    export.write_bytes(b"".join(lines[:-1]))
    with migrated(database_url) as connection:
        with pytest.raises(ExportError):
            replayed(Export(export), DatabaseModels(connection, CATALOGUE))
        assert {each.rows for each in model_states(connection, CATALOGUE)} == {0}


def test_what_the_notary_exports_is_replayed(tmp_path: Path) -> None:
    made = files()
    (tmp_path / "whole").write_bytes(made.whole)
    (tmp_path / "job").write_bytes(made.job)
    whole, job = Export(tmp_path / "whole"), Export(tmp_path / "job")
    rows = {each.name: each.rows for each in replayed(whole, MemoryModels(CATALOGUE))}
    assert (whole.is_whole, rows["history"]) == (True, made.size)
    states = replayed(job, MemoryModels(CATALOGUE))
    assert not job.is_whole, "one order's events, each object of it whole"
    assert {each.parked for each in states} == {0}


def test_a_file_that_is_there_is_never_replaced(found: list[Record], export: Path) -> None:
    before = export.read_bytes()
    with pytest.raises(ConflictError, match="there already"):
        exported(export, found)
    assert export.read_bytes() == before
    assert [path.name for path in export.parent.iterdir()] == [export.name]


def test_without_pyarrow_parquet_is_a_typed_refusal(
    found: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = exported(tmp_path / "log.parquet", found, format="parquet")
    monkeypatch.setitem(sys.modules, "ops.replaying.parquet", None)
    with pytest.raises(MissingExtraError, match="pyarrow"):
        told(path)
    with pytest.raises(MissingExtraError):
        exported(tmp_path / "other", found, format="parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["log.parquet"]
