"""One stored record of every version of every event is read for ever."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from eventsourcing.utils import get_topic
from jsonschema import Draft202012Validator

from ops.eventstore.envelope import HASH, Record, hash_of
from ops.eventstore.mapper import json_bytes, upcast
from ops.eventstore.reader import PoisonEventError, recorded_event
from ops.replaying.errors import ExportError
from ops.replaying.golden import GOLDEN, Golden, kept_golden, missing_golden, write_golden
from ops.replaying.validating import KNOWN, Schemas, violation
from ops.schema_files import all_events, event_version, released, stem

KEPT = list(kept_golden())
AGAIN = "not released yet? run: .venv/bin/python -m tests.golden_stories"
_OF_THE_ENVELOPE = {
    "originator_id",
    "originator_version",
    "originator_topic",
    "timestamp",
    "command",
}


def test_every_version_of_every_event_has_a_golden_record() -> None:
    assert missing_golden() == [], "run: .venv/bin/python -m tests.golden_stories"


@pytest.mark.parametrize("golden", KEPT, ids=[golden.name for golden in KEPT])
def test_a_golden_record_is_read_as_it_was(golden: Golden) -> None:
    record = golden.record
    version = int(record.headers["Imewe-Schema"])
    assert golden.name == f"{stem(record.topic)}.v{version}"
    assert record.headers[HASH] == hash_of(record.subject, record.headers, record.body)
    assert orjson.loads(record.body) == golden.fields

    schemas = Schemas()
    assert violation(schemas.of(record.topic, version), golden.fields) == "", AGAIN
    recorded = recorded_event(record)
    known = event_version(type(recorded.event))
    expected = upcast(record.topic, golden.fields, version, known)
    assert violation(schemas.of(record.topic, known), expected) == "", AGAIN
    told = {k: v for k, v in vars(recorded.event).items() if k not in _OF_THE_ENVELOPE}
    assert orjson.loads(json_bytes(told)) == expected
    assert (recorded.position, recorded.hash) == (record.sequence, record.headers[HASH])
    assert recorded.envelope.command_id == record.headers["Imewe-Command"]


def test_the_versions_that_were_released_all_have_a_record() -> None:
    assert released().keys() <= {golden.name for golden in KEPT}
    assert len(KEPT) > 60


def test_a_record_is_kept_once_and_never_again(tmp_path: Path) -> None:
    first, second = KEPT[0].record, KEPT[1].record
    changed = replace(first, body=b'{"x":1}')
    (path,) = write_golden([first, first], tmp_path)
    text = path.read_text()
    assert [made.name for made in write_golden([changed, second], tmp_path)] == [
        f"{KEPT[1].name}.json"
    ]
    assert path.read_text() == text
    assert KEPT[0].name not in missing_golden(tmp_path)
    assert set(missing_golden(tmp_path)) == set(missing_golden(tmp_path / "none")) - {
        KEPT[0].name,
        KEPT[1].name,
    }
    path.write_text("{}")
    with pytest.raises(ExportError, match="no golden record"):
        list(kept_golden(tmp_path))


def test_an_edited_record_would_be_seen() -> None:
    record = KEPT[0].record
    edited = replace(record, body=record.body.replace(b"{", b"{ "))
    assert edited.body != record.body
    assert edited.headers[HASH] != hash_of(edited.subject, edited.headers, edited.body)
    with pytest.raises(PoisonEventError):
        recorded_event(replace(record, body=b"{"))


def test_golden_files_are_laid_out_for_people() -> None:
    for path in GOLDEN.glob("*.json"):
        told = json.loads(path.read_text())
        assert path.read_text() == json.dumps(told, indent=2, ensure_ascii=False) + "\n"


# the small validator, against a whole one

VALUES: list[Any] = [None, True, 1, 1.0, 1.5, "text", [], [1], ["a"], {}, {"a": 1}]


def _damaged(body: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{**body, "unknown": 1}]
    for name in body:
        found.append({k: v for k, v in body.items() if k != name})
        found += [{**body, name: value} for value in VALUES]
    return found


def test_the_small_validator_says_what_a_whole_one_says() -> None:
    schemas = Schemas()
    for golden in KEPT:
        schema = schemas.of(golden.record.topic, int(golden.record.headers["Imewe-Schema"]))
        assert schema is not None
        whole = Draft202012Validator(schema)
        for body in (golden.fields, *_damaged(golden.fields)):
            assert whole.is_valid(body) == (violation(schema, body) == ""), (golden.name, body)


def test_every_keyword_of_our_schemas_is_one_that_the_small_validator_knows() -> None:
    def keywords(schema: Any) -> set[str]:
        if not isinstance(schema, dict):
            return set()
        inner = [schema.get("items"), schema.get("additionalProperties")]
        inner += list(schema.get("properties", {}).values())
        return set(schema).union(*map(keywords, inner))

    schemas = Schemas()
    for event in all_events():
        assert keywords(schemas.of(get_topic(event), event_version(event))) <= KNOWN


def test_what_has_no_schema_is_a_violation() -> None:
    record: Record = KEPT[0].record
    assert violation(Schemas().of(record.topic, 99), {}) == "there is no schema of this version"
