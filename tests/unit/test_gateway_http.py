"""GraphQL over HTTP: what is refused before it runs, and how it is told."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from graphql import (
    GraphQLObjectType,
    build_schema,
    get_introspection_query,
    is_required_argument,
)

from domain.shared.errors import InvalidInputError, UnavailableError
from gateways.graphql.http import GRAPHQL_RESPONSE
from gateways.graphql.schema import schema
from ops.observability.logging import configure
from tests.gateway_tools import Bench, NoDatabase

SDL = build_schema(schema.as_str())
ME = "{ me { accountId name grants { role } } }"
SUBMIT = """mutation($input: SubmitJobInput!, $commandId: ID) {
  submitJob(input: $input, commandId: $commandId) {
    jobId position commandId problems { __typename code message field remedy } } }"""
ORDER = {"name": "bracket", "parts": [{"name": "a", "artifactDigest": "d", "materialType": "PLA"}]}


async def test_a_token_says_who_asks() -> None:
    answer = await Bench().ask(ME)
    assert answer["data"]["me"]["name"] == "Ada"
    assert answer["data"]["me"]["grants"] == [{"role": "ADMIN"}]


async def test_without_a_token_every_query_is_refused_with_the_same_code() -> None:
    bench = Bench()
    for name, field in _root("Query").fields.items():
        answer = await bench.ask(_minimal(name, field), token="")
        (error,) = answer["errors"]
        assert error["extensions"]["code"] == "UNAUTHENTICATED", name
        assert error["extensions"]["problem"]["remedy"]


async def test_without_a_token_every_mutation_but_login_tells_a_typed_problem() -> None:
    bench = Bench()
    for name, field in _root("Mutation").fields.items():
        if name == "login":
            continue
        answer = await bench.ask(_minimal(name, field), token="")
        (problem,) = answer["data"][name]["problems"]
        assert problem["__typename"] == "Unauthenticated", name
    assert bench.commands.sent == []


@pytest.mark.parametrize("token", ["expired", "forged", "nonsense", "a.b.c"])
async def test_a_token_that_is_not_valid_never_passes_for_none(token: str) -> None:
    bench = Bench()
    if token == "expired":
        token = bench.token(ttl_s=60)
        bench.clock.present += timedelta(seconds=61)
    elif token == "forged":
        token = Bench().token()
    async with bench.client(token) as client:
        answer = await client.post("/graphql", json={"query": "{ __typename }"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_token_may_not_be_one_that_says_it_needs_no_signature() -> None:
    bench = Bench()
    _, claims, _ = bench.token().split(".")
    none = "eyJhbGciOiJub25lIn0"
    async with bench.client(f"{none}.{claims}.") as client:
        assert (await client.post("/graphql", json={"query": ME})).status_code == 401


@pytest.mark.parametrize(
    "media",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""],
)
async def test_only_json_is_taken_so_that_no_other_site_can_post(media: str) -> None:
    async with Bench().client() as client:
        body = b'{"query": "{ __typename }"}'
        answer = await client.post("/graphql", content=body, headers={"content-type": media})
    assert answer.status_code == 415


async def test_there_is_no_get() -> None:
    async with Bench().client() as client:
        answer = await client.get("/graphql", params={"query": ME})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'"text"', "must be a JSON object"),
        (b"[]", "batches"),
        (b'[{"query": "{ me { name } }"}]', "batches"),
        (b"{}", "query must be a string"),
        (b'{"query": " "}', "query is empty"),
        (b'{"query": 7}', "query must be a string"),
        (b'{"query": "{ __typename }", "variables": []}', "variables must be an object"),
        (b'{"query": "{ __typename }", "operationName": 1}', "operationName must be a string"),
    ],
)
async def test_a_malformed_request_is_told_what_is_wrong(body: bytes, words: str) -> None:
    async with Bench().client() as client:
        headers = {"content-type": "application/json"}
        answer = await client.post("/graphql", content=body, headers=headers)
    assert answer.status_code == 400
    assert words in answer.json()["errors"][0]["message"]


async def test_a_body_over_the_limit_is_refused_while_it_comes_in() -> None:
    async with Bench(body_limit_bytes=1000).client() as client:
        answer = await client.post("/graphql", json={"query": "{ __typename }" + " " * 1000})
    assert answer.status_code == 413
    assert answer.json()["errors"][0]["extensions"]["code"] == "TOO_LARGE"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("{ me { shoeSize } }", "Cannot query field 'shoeSize' on type 'Me'"),
        ("{ wizard }", "Cannot query field 'wizard'"),
        ("{ jobs(status: [SLEEPING]) { pageInfo { hasNextPage } } }", "'SLEEPING'"),
        ("{ me { name }", "Syntax Error"),
        ('{ job(id: 7, atLeast: "x") { id } }', "a position is a decimal number"),
        ('{ kpis(since: "yesterday") { since } }', "a moment is ISO 8601"),
        ("query A { me { name } } query B { me { name } }", "operationName"),
        ("{", "Syntax Error"),
    ],
)
async def test_what_the_schema_does_not_know_is_refused_by_name(query: str, words: str) -> None:
    bench = Bench()
    for accept, status in (("application/json", 200), (GRAPHQL_RESPONSE, 400)):
        async with bench.client() as client:
            headers = {"accept": accept}
            answer = await client.post("/graphql", json={"query": query}, headers=headers)
        assert answer.headers["content-type"] == accept
        assert "data" not in answer.json()
        assert any(words in error["message"] for error in answer.json()["errors"]), answer.text
        assert answer.status_code == status


async def test_an_unknown_input_field_and_a_wrong_variable_are_refused() -> None:
    bench = Bench()
    for wrong in ({**ORDER, "color": "red"}, {**ORDER, "priority": "high"}, {"name": "x"}):
        answer = await bench.ask(SUBMIT, {"input": wrong})
        assert answer["errors"]
        assert "data" not in answer
    assert bench.commands.sent == []


@pytest.mark.parametrize(
    "query",
    [
        "{ job(id: 1) { parts { builds { " + "program { " * 12 + "name" + " }" * 12 + " } } } }",
        "{" + " ".join(f"a{number}: me {{ name }}" for number in range(40)) + "}",
        "{ me { " + "name " * 3000 + "} }",
        "query { ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
    ],
    ids=["deep", "aliases", "tokens", "circular"],
)
async def test_what_would_cost_too_much_is_refused_before_it_runs(query: str) -> None:
    answer = await Bench().ask(query)
    assert answer["errors"]
    assert "data" not in answer


async def test_limits_are_built_once_so_that_validations_stay_remembered() -> None:
    rules = [
        rule
        for _ in range(2)
        for make in schema.extensions
        for rule in getattr(make(), "validation_rules", ())
    ]
    assert len(rules) == 2 * len(set(rules))


async def test_the_schema_is_shown_in_development_and_hidden_in_production() -> None:
    query = get_introspection_query()
    assert (await Bench().ask(query))["data"]["__schema"]
    answer = await Bench(production=True).ask(query)
    assert "data" not in answer
    misspelt = await Bench(production=True).ask("{ jobz { id } }")
    assert "Did you mean" not in misspelt["errors"][0]["message"]


async def test_an_answer_nobody_asked_for_is_not_given() -> None:
    async with Bench().client() as client:
        headers = {"accept": "text/html"}
        answer = await client.post("/graphql", json={"query": ME}, headers=headers)
    assert answer.status_code == 406


async def test_a_command_carries_the_persons_token_and_the_clients_id() -> None:
    bench = Bench()
    token = bench.token("designer")
    answer = await bench.ask(SUBMIT, {"input": ORDER, "commandId": "order-1"}, token=token)
    payload = answer["data"]["submitJob"]
    assert payload["position"] == "7"
    assert payload["commandId"] == "order-1"
    assert payload["problems"] == []
    ((name, sent, more),) = bench.commands.sent
    assert name == "SubmitJob"
    assert sent == {
        "name": "bracket",
        "parts": [{"name": "a", "artifact_digest": "d", "material": "PLA", "quantity": 1}],
        "priority": 5,
        "deadline": None,
    }
    assert (more["command_id"], more["token"]) == ("order-1", token)


async def test_without_an_id_of_the_clients_one_is_made_and_told() -> None:
    bench = Bench()
    payload = (await bench.ask(SUBMIT, {"input": ORDER}))["data"]["submitJob"]
    assert payload["commandId"] == bench.commands.sent[0][2]["command_id"]
    assert len(payload["commandId"]) == 36


async def test_a_refusal_is_a_typed_value_and_names_the_field_as_the_client_knows_it() -> None:
    bench = Bench()
    bench.commands.refusal = InvalidInputError(
        "there is no file", field="parts.0.artifact_digest", remedy="upload it first"
    )
    answer = await bench.ask(SUBMIT, {"input": ORDER})
    assert "errors" not in answer
    assert answer["data"]["submitJob"]["jobId"] is None
    assert answer["data"]["submitJob"]["problems"] == [
        {
            "__typename": "InvalidInput",
            "code": "INVALID_INPUT",
            "message": "there is no file",
            "field": "parts.0.artifactDigest",
            "remedy": "upload it first",
        }
    ]


async def test_when_the_commands_service_is_away_the_client_may_try_again() -> None:
    bench = Bench()
    bench.commands.refusal = UnavailableError("nobody answered", remedy="try again")
    payload = (await bench.ask(SUBMIT, {"input": ORDER, "commandId": "x"}))["data"]["submitJob"]
    assert payload["problems"][0]["__typename"] == "Unavailable"
    assert payload["commandId"] == "x"


async def test_a_fault_of_ours_tells_nothing_of_the_inside() -> None:
    bench = Bench()
    bench.commands.refusal = RuntimeError("password=hunter2")
    answer = await bench.ask(SUBMIT, {"input": ORDER})
    (error,) = answer["errors"]
    assert error["message"] == "Something went wrong on our side"
    assert error["extensions"] == {"code": "INTERNAL"}


async def test_a_database_that_is_away_is_told_as_such() -> None:
    answer = await Bench().ask("{ jobs { edges { node { id } } } }")
    assert answer["errors"][0]["extensions"]["code"] == "UNAVAILABLE"


async def test_a_broken_connection_has_the_pool_looked_through_before_it_is_told() -> None:
    pool = NoDatabase(psycopg.OperationalError("server closed the connection"))
    answer = await Bench(pool=pool).ask("{ jobs { edges { node { id } } } }")
    assert pool.checked == 1
    assert answer["errors"][0]["extensions"]["code"] == "UNAVAILABLE"


@pytest.mark.parametrize("arguments", ["first: 0", "first: 101", 'after: "bm9wZQ"'])
async def test_a_page_that_cannot_be_is_refused(arguments: str) -> None:
    answer = await Bench().ask(f"{{ jobs({arguments}) {{ edges {{ cursor }} }} }}")
    assert answer["errors"][0]["extensions"]["code"] == "INVALID_INPUT"


async def test_an_id_that_is_none_names_nothing() -> None:
    answer = await Bench().ask('{ job(id: "../etc") { id } node(id: "*") { id } }')
    assert answer == {"data": {"job": None, "node": None}}


async def test_login_gives_a_token_that_this_gateway_takes() -> None:
    bench = Bench()
    login = """mutation($mail: String!, $password: String!) {
      login(mail: $mail, password: $password) {
        token expiresAt me { name } problems { __typename } } }"""
    known = {"mail": "ada@example.org", "password": "correct horse"}
    payload = (await bench.ask(login, known, token=""))["data"]["login"]
    assert payload["expiresAt"] == "2026-01-12T10:45:00.000Z"
    assert (await bench.ask(ME, token=payload["token"]))["data"]["me"]["name"] == "Ada"
    wrong = (await bench.ask(login, {**known, "password": "x"}, token=""))["data"]["login"]
    assert wrong == {
        "token": None,
        "expiresAt": None,
        "me": None,
        "problems": [{"__typename": "Unauthenticated"}],
    }


def _root(name: str) -> GraphQLObjectType:
    found = SDL.type_map[name]
    assert isinstance(found, GraphQLObjectType)
    return found


def _minimal(name: str, field: Any) -> str:
    """An operation that asks for one root field with the least it needs."""
    values = {"ID": '"1"', "String": '"x"', "Int": "1", "Int53": "1", "Role": "ADMIN"}
    values["Attendance"] = "START"
    values["SubmitJobInput"] = '{name: "x", parts: []}'
    values["NodeProfileInput"] = '{process: "fdm", materials: [], maxSize: {x: 1, y: 1, z: 1}}'
    values |= {"Position": '"1"', "Instant": '"2026-01-12T10:30:00Z"'}
    values |= {"AsOf": '{position: "1"}', "StoryOf": '{jobId: "1"}'}
    values |= {"[String!]": '["x"]', "[ID!]": '["1"]'}
    needed = [
        f"{argument}: {values[str(given.type.of_type)]}"
        for argument, given in field.args.items()
        if is_required_argument(given)
    ]
    arguments = f"({', '.join(needed)})" if needed else ""
    if "Payload" in str(field.type):
        return f"mutation {{ {name}{arguments} {{ problems {{ __typename }} }} }}"
    return f"{{ {name}{arguments} {{ __typename }} }}"


async def test_no_secret_of_a_request_reaches_the_log_when_something_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("console", service="gateway")
    bench = Bench()
    bench.commands.refusal = RuntimeError("broken")
    token = bench.token()
    open_account = """mutation { openAccount(mail: "a@b.c", name: "A", password: "hunter22",
      role: DESIGNER) { position } }"""
    await bench.ask(open_account, token=token)
    logged = capsys.readouterr().err
    assert "broken" in logged
    assert "hunter22" not in logged
    assert token not in logged
