"""Corrections from the terminal, against a running installation."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.gateway_stack import Stack, running_stack

WHY = ("--reason", "tare forgotten")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    for stack in running_stack():
        assert stack.run("login").exit_code == 0
        yield stack


def told(stack: Stack, *words: str) -> Any:
    """The JSON that a command prints; it must succeed."""
    result = stack.run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_a_count_is_corrected_where_the_ledger_shows_it(stack: Stack) -> None:
    node = told(stack, "nodes", "register", "mill-1", "--virtual")["nodeId"]
    lot = told(stack, "inventory", "receive", node, "PLA", "1kg")["inventoryId"]
    told(stack, "inventory", "count", lot, "900g")
    entries = until_entries(stack, lot, 3)
    assert [each["what"] for each in entries][1:] == ["Inventory.Received", "Inventory.Counted"]
    payload = told(stack, "inventory", "correct-count", lot, entries[-1]["position"], "950g", *WHY)
    assert payload["freeMg"] == 950_000
    corrected = until_entries(stack, lot, 4)[-1]
    assert corrected["effectiveFrom"] == entries[-1]["at"]
    assert corrected["reason"] == "tare forgotten"
    assert stack.run("inventory", "entries", lot).exit_code == 0
    refused = stack.run("inventory", "correct-count", lot, "1", "950g", *WHY)
    assert refused.exit_code == 1
    assert "position 1 is none of its events" in refused.stderr


def test_a_downtime_is_recorded_refused_twice_over_and_taken_back(stack: Stack) -> None:
    node = told(stack, "nodes", "register", "mill-2", "--virtual")["nodeId"]
    early = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    refused = stack.run("nodes", "down", node, early, *WHY)
    assert refused.exit_code == 1
    assert "before this began to exist" in refused.stderr
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    assert stack.run("nodes", "down", node, now, *WHY).exit_code == 0
    overlapping = stack.run("nodes", "down", node, now, *WHY)
    assert overlapping.exit_code == 1
    assert "OVERLAP" in overlapping.stderr or "was down from" in overlapping.stderr
    assert stack.run("nodes", "withdraw-down", node, now, *WHY).exit_code == 0
    assert stack.run("nodes", "down", node, "yesterday", *WHY).exit_code == 1


def test_what_cannot_be_reassigned_is_one_clear_line(stack: Stack) -> None:
    lots = [each["id"] for each in told(stack, "inventory", "list")]
    lot = lots[0] if lots else "none"
    refused = stack.run("inventory", "reassign", "b", "--from", lot, "--to", "none", *WHY)
    assert (refused.exit_code, refused.stderr.splitlines()[0]) == (
        1,
        "imewe: there is no inventory none (inventoryId)",
    )
    assert stack.run("nodes", "correct-build", "b", "--energy", "5", *WHY).exit_code == 1


def test_a_month_that_cannot_be_closed_says_why(stack: Stack) -> None:
    this = datetime.now(UTC).strftime("%Y-%m")
    for month, words in [
        (this, "has not ended"),
        ("2100-01", "has not ended"),
        ("2001-02", "the organisation began in"),
        ("soon", "a month is written as 2026-10"),
    ]:
        refused = stack.run("periods", "close", month)
        assert refused.exit_code == 1
        assert words in refused.stderr
    assert stack.run("periods", "report", this).exit_code == 1
    assert stack.run("periods", "adjustments", this).exit_code == 1
    for command in ("report", "adjustments"):
        refused = stack.run("periods", command, "2026-13")
        assert (refused.exit_code, "there is no month 2026-13" in refused.stderr) == (1, True)
    assert this in {each["month"] for each in told(stack, "periods", "list")}
    assert stack.run("periods", "list").exit_code == 0


def test_the_events_behind_figures_are_listed(stack: Stack) -> None:
    assert isinstance(told(stack, "kpis", "sources", "energy_j"), list)
    assert stack.run("kpis", "sources").exit_code == 0
    assert "figure must be one of" in stack.run("kpis", "sources", "wishes").stderr


def until_entries(stack: Stack, lot: str, count: int) -> list[dict[str, Any]]:
    """The lot's bookings, once there are so many."""
    until = datetime.now(UTC) + timedelta(seconds=30)
    while True:
        result = stack.run("inventory", "entries", lot, "--json")
        found = json.loads(result.stdout.splitlines()[-1]) if result.exit_code == 0 else []
        if len(found) >= count:
            return list(found)
        assert datetime.now(UTC) < until, result.output
