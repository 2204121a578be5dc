"""The contracts that are checked in are those of the code."""

import json
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    build_schema,
)
from jsonschema import Draft202012Validator, ValidationError

from commands.authorisation import MATRIX
from domain.job.aggregate import Job
from gateways.graphql.projecting import MUTATIONS as PROJECTING
from gateways.graphql.schema import schema
from ops.schema_files import (
    VERSIONS,
    all_events,
    contracts,
    event_schema,
    file_name,
    released,
    write_contracts,
)
from ops.settings import CHECKOUT
from tests.gateway_tools import Bench

SDL = build_schema(schema.as_str())


def test_every_contract_is_checked_in_as_the_code_has_it() -> None:
    stale = [
        name
        for name, text in contracts().items()
        if not (CHECKOUT / "schema" / name).exists()
        or (CHECKOUT / "schema" / name).read_text() != text
    ]
    assert stale == [], "run: imewe schema generate"


def test_no_contract_is_left_of_an_event_that_is_gone() -> None:
    checked_in = {path.name for path in (CHECKOUT / "schema" / "events").glob(VERSIONS)}
    kept = {f"{name}.json" for name in released()}
    assert checked_in == kept | {file_name(event) for event in all_events()}


def test_generating_writes_what_is_missing_and_removes_what_is_gone(tmp_path: Path) -> None:
    first = write_contracts(tmp_path)
    assert len(first) == len(contracts())
    assert write_contracts(tmp_path) == []
    gone = tmp_path / "events" / "job.vanished.v1.json"
    gone.write_text("{}")
    edited = tmp_path / "events" / file_name(Job.CancelRequested)
    edited.write_text("{}")
    assert set(write_contracts(tmp_path)) == {gone, edited}
    assert not gone.exists()


def test_a_file_is_named_by_kind_event_and_version() -> None:
    assert file_name(Job.CancelRequested) == "job.cancel-requested.v1.json"


def test_an_event_schema_takes_the_body_and_nothing_else() -> None:
    check = Draft202012Validator(event_schema(Job.Reprioritized))
    check.validate({"priority": 3})
    for wrong in ({}, {"priority": "3"}, {"priority": 3, "who": "me"}):
        with pytest.raises(ValidationError):
            check.validate(wrong)


def test_personal_fields_are_marked_and_only_those() -> None:
    marked = {
        f"{file_name(event)}:{name}"
        for event in all_events()
        for name, shape in event_schema(event)["properties"].items()
        if "x-personal" in shape
    }
    assert marked == {"account.opened.v1.json:mail", "account.opened.v1.json:name"}


def test_every_event_schema_is_itself_valid() -> None:
    for event in all_events():
        Draft202012Validator.check_schema(json.loads(json.dumps(event_schema(event))))


def test_every_type_field_and_enum_says_what_it_means() -> None:
    silent = []
    for name, kind in SDL.type_map.items():
        if name.startswith("__") or name in {"ID", "Int", "Float", "String", "Boolean"}:
            continue
        if not kind.description:
            silent.append(name)
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            silent += [f"{name}.{f}" for f, field in kind.fields.items() if not field.description]
    assert silent == []


def test_the_specifications_words_are_there() -> None:
    job, node = SDL.type_map["Job"], SDL.type_map["Node"]
    assert isinstance(job, GraphQLObjectType)
    assert isinstance(node, GraphQLObjectType)
    assert {"jobId", "userId", "submissionTimestamp", "completionTimestamp"} <= set(job.fields)
    assert {"estimatedDuration", "progress", "assignedNodes"} <= set(job.fields)
    assert {"nodeId", "vendorId", "capabilities", "uptime", "activeJobs"} <= set(node.fields)


def test_every_root_field_that_was_asked_for_exists() -> None:
    wanted = {
        "Query": "me job jobs node nodes inventory eventHistory kpis",
        "Mutation": "login submitJob cancelJob reprioritizeJob registerNode configureNode clearBed"
        " pauseNode resumeNode emergencyStop emergencyStopAll clearEmergencyStop clearFault"
        " receiveMaterial passPiece scrapPiece openAccount grantRole revokeRole",
        "Subscription": "jobUpdated nodeUpdated telemetry eventTail",
    }
    for name, fields in wanted.items():
        root = SDL.type_map[name]
        assert isinstance(root, GraphQLObjectType)
        assert set(fields.split()) <= set(root.fields)


async def test_every_mutation_sends_a_command_that_the_table_of_rights_knows() -> None:
    bench = Bench()
    root = SDL.type_map["Mutation"]
    assert isinstance(root, GraphQLObjectType)
    asked = {"login", "emergencyStop", "emergencyStopAll", "rotateAuditKey"} | PROJECTING
    for name in root.fields.keys() - asked:
        assert f"{name[0].upper()}{name[1:]}" in MATRIX, name
    assert bench.commands.sent == []


def test_statuses_are_enums_and_not_text() -> None:
    for name in ("JobStatus", "PieceStatus", "BuildStatus", "NodeStatus", "Role"):
        assert isinstance(SDL.type_map[name], GraphQLEnumType)
