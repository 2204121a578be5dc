"""An export of a real log, replayed elsewhere: the same read models, or a named flaw."""

import gzip
import json
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from domain.shared.errors import ConflictError
from ops.eventstore.envelope import Record
from ops.eventstore.reader import recorded_event
from ops.messaging.server import EmbeddedNats
from ops.projecting.comparing import ModelState, model_states
from ops.replaying.errors import ExportError, MissingExtraError
from ops.replaying.reading import LINE_LIMIT, Export
from ops.replaying.replay import DatabaseModels, MemoryModels
from ops.replaying.replay import replay as replayed
from ops.replaying.writing import FORMATS, Format
from ops.settings import Settings
from projections.catalogue import CATALOGUE
from tests.eventlog import own_log
from tests.projecting import migrated, project
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


Lines = list[bytes]


def _event(line: bytes, **changes: Any) -> bytes:
    told = json.loads(line)
    told["event"] |= changes
    return json.dumps(told).encode() + b"\n"


def _changing(**values: Any) -> Callable[[Lines], Lines]:
    return lambda f: [*f[:9], _event(f[9], **values), *f[10:]]


FLAWS: dict[str, tuple[Callable[[Lines], Lines], int, int, str]] = {
    "an event dropped": (lambda f: f[:9] + f[10:], 10, 9, "missing"),
    "an event twice": (lambda f: f[:10] + f[9:], 11, 9, "out of order"),
    "two events swapped": (lambda f: [*f[:9], f[10], f[9], *f[11:]], 10, 9, "missing"),
    "cut after a line": (lambda f: f[:9], 10, 0, "cut off"),
    "cut within a line": (lambda f: [*f[:9], f[9][:50]], 10, 0, "no JSON"),
    "no last line": (lambda f: f[:-1], -1, 0, "cut off"),
    "a line behind the last": (lambda f: [*f, b"{}\n"], -2, 0, "behind the last line"),
    "a line of something else": (lambda f: [*f[:9], b'{"a":1}\n', *f[9:]], 10, 0, "no event"),
    "a huge line": (
        lambda f: [*f[:9], b'{"event":"' + b"x" * LINE_LIMIT + b'"}\n', *f[9:]],
        10,
        0,
        "longer than 8 MiB",
    ),
    "a list": (lambda f: [*f[:9], b"[1]\n", *f[9:]], 10, 0, "no JSON object"),
    "no UTF-8": (lambda f: [*f[:9], b'"\xff"\n', *f[9:]], 10, 0, "no JSON"),
    "a sequence in words": (
        _changing(sequence="9"),
        10,
        0,
        "number",
    ),
    "a time in words": (_changing(time="noon"), 10, 9, "no event"),
    "a time without a zone": (
        _changing(time="2026-11-21T10:00:00"),
        10,
        9,
        "no zone",
    ),
    "headers that are a list": (
        _changing(headers=[1]),
        10,
        9,
        "no event",
    ),
    "a header that is a number": (
        _changing(headers={"Imewe-Version": 1}),
        10,
        9,
        "no text",
    ),
    "no headers": (_changing(headers={}), 10, 9, "headers|hash"),
    "another subject": (_changing(subject="x"), 10, 9, "subject"),
    "a body that is no base64": (
        lambda f: [*f[:9], f[9].replace(b'"text":', b'"body":'), *f[10:]],
        10,
        9,
        "base64",
    ),
    "another first line": (lambda f: [b'{"what":1}\n', *f[1:]], 1, 0, "no export"),
    "positions in words": (
        lambda f: [f[0].replace(b'"from":1', b'"from":"1"'), *f[1:]],
        1,
        0,
        "no positions",
    ),
}


@pytest.mark.parametrize("name", FLAWS)
def test_a_file_that_is_not_as_it_was_is_named_by_line_and_sequence(
    export: Path, name: str
) -> None:
    damage, line, sequence, words = FLAWS[name]
    lines = export.read_bytes().splitlines(keepends=True)
    export.write_bytes(b"".join(damage(lines)))
    with pytest.raises(ExportError, match=words) as caught:
        in_memory(export)
    expected = {-1: len(lines), -2: len(lines) + 1}.get(line, line)
    assert (caught.value.line, caught.value.sequence) == (expected, sequence)


def test_nothing_is_written_into_a_database_from_a_file_with_a_flaw(
    export: Path, database_url: str
) -> None:
    lines = export.read_bytes().splitlines(keepends=True)
    export.write_bytes(b"".join(lines[:-1]))
    with migrated(database_url) as connection:
        with pytest.raises(ExportError):
            replayed(Export(export), DatabaseModels(connection, CATALOGUE))
        assert {each.rows for each in model_states(connection, CATALOGUE)} == {0}


def _changed(record: Record) -> Iterator[Record]:
    """The same event with a space more, by somebody else, under another hash, in another chain."""
    yield replace(record, body=record.body.replace(b'"', b' "', 1))
    zeros = f"sha256:{'0' * 64}"
    for name, value in (("Actor", "mallory"), ("Hash", zeros), ("Prev-Hash", zeros)):
        yield replace(record, headers={**record.headers, f"Imewe-{name}": value})


def test_what_is_changed_in_any_event_is_found_there(found: list[Record], tmp_path: Path) -> None:
    path = tmp_path / "forged"
    for format in FORMATS:
        for position in (3, 60, len(found) - 1):
            for changed in _changed(found[position]):
                forged = [*found[:position], changed, *found[position + 1 :]]
                exported(path, forged, format=format)
                with pytest.raises(ExportError) as caught:
                    told(path)
                assert caught.value.sequence == position + 1
                path.unlink()


@given(st.data())
@examples(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_damage_gives_anything_but_a_typed_refusal(
    found: list[Record], tmp_path: Path, data: st.DataObject
) -> None:
    format = data.draw(st.sampled_from(FORMATS))
    whole = tmp_path / f"whole.{format}"
    if not whole.exists():
        exported(whole, found[:40], format=format)
    content = bytearray(whole.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    damaged = tmp_path / "damaged"
    damaged.write_bytes(content)
    try:
        again = told(damaged)
    except ExportError:
        return
    # what is not covered by an event's hash: the server's time, and what other tools read
    assert [(r.sequence, r.subject, r.body, r.hash) for r in again] == [
        (r.sequence, r.subject, r.body, r.hash) for r in found[:40]
    ]


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
