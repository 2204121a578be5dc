"""An export that is not as it was written is named by line and sequence, and never believed."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from ops.eventstore.envelope import Record
from ops.messaging.server import EmbeddedNats
from ops.replaying.errors import ExportError
from ops.replaying.reading import LINE_LIMIT, Export
from ops.replaying.writing import FORMATS
from ops.settings import Settings
from tests.eventlog import own_log
from tests.replaying import exported, stored
from tests.stories import busy_shop


@pytest.fixture(scope="module")
def found(nats_server: EmbeddedNats, settings: Settings) -> Iterator[list[Record]]:
    with own_log(nats_server, settings) as log:
        yield stored(log, busy_shop(2).events)


@pytest.fixture
def export(found: list[Record], tmp_path: Path) -> Path:
    return exported(tmp_path / "log.jsonl", found)


def told(path: Path) -> list[Record]:
    return list(Export(path).records())


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
    "another time, which no event's hash covers": (
        _changing(time="2026-11-21T10:00:00Z"),
        -1,
        0,
        "another SHA-256",
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
        told(export)
    expected = {-1: len(lines), -2: len(lines) + 1}.get(line, line)
    assert (caught.value.line, caught.value.sequence) == (expected, sequence)


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
    place = data.draw(st.integers(0, 1 << 20)) % len(content)  # lengths differ from run to run
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


def test_events_that_the_file_promises_must_be_there(found: list[Record], tmp_path: Path) -> None:
    for format in FORMATS[::2]:
        path = exported(tmp_path / format, found, format=format, last=len(found) + 5)
        with pytest.raises(ExportError, match="missing at the end") as caught:
            told(path)
        assert caught.value.sequence == len(found) + 1
