"""Scalars refuse what lies outside their range in the client's own words."""

import pytest
from graphql import GraphQLError

from gateways.graphql.scalars import read_instant, write_instant


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2026-01-12", "2026-01-12T10:30:00", "9999-12-31T23:59:59-12:00"],
)
def test_what_is_no_moment_of_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(GraphQLError, match="ISO 8601"):
        read_instant(text)


def test_a_moment_is_shown_in_utc() -> None:
    assert write_instant(read_instant("2026-01-12T10:30:00+02:00")) == "2026-01-12T08:30:00.000Z"
