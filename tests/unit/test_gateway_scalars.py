"""Scalars refuse what lies outside their range in the client's own words."""

import pytest
from graphql import GraphQLError

from domain.shared.errors import InvalidInputError
from gateways.graphql.problems import problem_of
from gateways.graphql.scalars import read_instant, write_instant
from tests.gateway_tools import Bench


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2026-01-12", "2026-01-12T10:30:00", "9999-12-31T23:59:59-12:00"],
)
def test_what_is_no_moment_of_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(GraphQLError, match="ISO 8601"):
        read_instant(text)


def test_a_moment_is_shown_in_utc() -> None:
    assert write_instant(read_instant("2026-01-12T10:30:00+02:00")) == "2026-01-12T08:30:00.000Z"


@pytest.mark.parametrize("command_id", [" a", "a ", "a\\nb", "a\\u0000b"])
async def test_a_command_id_that_a_header_cannot_carry_is_refused(command_id: str) -> None:
    bench = Bench()
    document = f"""mutation {{ clearBed(nodeId: "n", commandId: "{command_id}") {{
      problems {{ code field }} }} }}"""
    answer = await bench.ask(document, token=bench.token("admin"))
    problem = {"code": "INVALID_INPUT", "field": "commandId"}
    assert answer["data"]["clearBed"]["problems"] == [problem]
    assert bench.commands.sent == []


def test_a_problem_names_the_field_as_the_schema_does() -> None:
    density = problem_of(InvalidInputError("no", field="density_ug_per_mm3"))
    material = problem_of(InvalidInputError("no", field="parts.0.material"))
    assert (density.field, material.field) == ("density", "parts.0.materialType")


async def test_a_density_beyond_all_numbers_goes_on_to_be_refused_by_who_decides() -> None:
    bench = Bench()
    document = """mutation { receiveMaterial(nodeId: "n", materialType: "PLA", lot: "a",
      quantityMg: 1, density: 1e308) { problems { code } } }"""
    answer = await bench.ask(document, token=bench.token("admin"))
    assert "errors" not in answer
    assert bench.commands.sent[-1][1]["density_ug_per_mm3"] > 10**15
