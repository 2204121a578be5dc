"""`imewe nodes stop --all`: what a person reads, and what a script hears."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from typer.testing import CliRunner

from domain.shared.errors import UnavailableError
from ops.cli.main import application

STOPPED = {
    "nodeId": "n1",
    "bridge": "hall-2",
    "outcome": "CONFIRMED",
    "nativeText": "Printer halted",
    "latencyMs": 2.0,
    "roundTripMs": 9.0,
}
AWAY = {**STOPPED, "nodeId": "n2", "outcome": "UNREACHABLE", "nativeText": "not connected"}


class Portal:
    """A gateway that answers two documents."""

    def __init__(self, stops: list[dict[str, Any]]) -> None:
        self.stops = stops
        self.asked: list[str] = []

    def execute(self, document: str, _: object = None) -> dict[str, Any]:
        self.asked.append(document.split()[0])
        if document.startswith("mutation"):
            return {"emergencyStopAll": {"problems": [], "stops": self.stops}}
        return {"nodes": {"edges": [{"node": {"id": "n1", "name": "prusa-1"}}]}}


def say(monkeypatch: pytest.MonkeyPatch, portal: Portal, *words: str) -> tuple[int, str]:
    @contextmanager
    def opened(_: object) -> Iterator[Portal]:
        yield portal

    monkeypatch.setattr("ops.cli.fleet_stop.opened", opened)
    result = CliRunner().invoke(application(["nodes"]), ["nodes", "stop", *words])
    return result.exit_code, result.output


def test_every_machine_answers_for_itself_and_names_come_after_the_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    portal = Portal([STOPPED, AWAY])
    code, told = say(monkeypatch, portal, "--all")
    assert portal.asked == ["mutation", "query"]
    assert code == 3
    assert "prusa-1" in told
    assert "CONFIRMED" in told
    assert "UNREACHABLE" in told


def test_what_became_of_the_stop_is_told_while_nobody_knows_the_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Nameless(Portal):
        def execute(self, document: str, _: object = None) -> dict[str, Any]:
            if document.startswith("query"):
                raise UnavailableError("the read models do not answer")
            return super().execute(document)

    code, told = say(monkeypatch, Nameless([STOPPED, AWAY]), "--all")
    assert code == 3
    for words in ("n1", "n2", "CONFIRMED", "UNREACHABLE"):
        assert words in told


def test_a_fleet_that_confirmed_is_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    code, told = say(monkeypatch, Portal([STOPPED]), "--all", "--json")
    assert code == 0
    assert json.loads(told)["stops"] == [STOPPED]


@pytest.mark.parametrize("words", [(), ("prusa-1", "--all")])
def test_one_machine_or_all_of_them_is_said(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    portal = Portal([])
    code, _ = say(monkeypatch, portal, *words)
    assert code != 0
    assert portal.asked == []
