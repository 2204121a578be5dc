"""The story of one real order: one tree from its command to what the machines acknowledged, told
on the terminal, with every decision made again."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.cli.main import application
from ops.eventstore.envelope import Record
from projections.history.differences import Change, How, applied
from tests.acceptance.test_command_line import Terminal
from tests.whole import Whole
from tests.whole_invariants import whole_log

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def job_id(whole: Whole, digest: str) -> str:
    """Four pieces on two machines: some wait until a bed is cleared."""
    part = {"name": "box", "artifactDigest": digest, "materialType": "PLA", "quantity": 4}
    found = whole.submit_digest(digest, parts=[part])
    assert whole.until_ended(found)["status"] == "COMPLETED"
    return found


class Events:
    """`imewe events`, in this process: a program of its own for each word takes a second."""

    def __init__(self, home: Path, *more: str) -> None:
        self._line = ["events", "--home", str(home), *more]
        self._app = application(("events",))

    def run(self, *words: str, code: int = 0) -> str:
        done = CliRunner().invoke(self._app, [*self._line, *words])
        assert done.exit_code == code, (words, done.output)
        return done.output

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))


@pytest.fixture(scope="module")
def events(whole: Whole) -> Events:
    Terminal(whole.home).run("login")
    return Events(whole.home)


def about(whole: Whole, job_id: str) -> list[Record]:
    """Everything that the log holds of an order, whatever the read models say."""
    order = {job_id}
    for record in whole_log(whole):
        if record.version == 1 and json.loads(record.body).get("job_id") == job_id:
            order.add(record.aggregate)
    return [record for record in whole_log(whole) if record.aggregate in order]


def test_a_finished_order_is_one_tree_from_its_command_to_the_machines(
    whole: Whole, job_id: str, events: Events
) -> None:
    tree = events.json("tree", "--job", job_id)
    assert not tree["truncated"]
    roots = [node for node in tree["nodes"] if node["parentId"] is None]
    assert [(node["link"], node["actor"].partition("/")[0]) for node in roots] == [
        ("COMMAND", "user")
    ]
    shown = {node["id"] for node in tree["nodes"]}
    missing = [r.topic for r in about(whole, job_id) if r.headers["Imewe-Event"] not in shown]
    assert missing == []
    told = [node["event"]["topic"] for node in tree["nodes"] if node["link"] == "ACKNOWLEDGEMENT"]
    for topic in ("Accepted", "Started", "Finished"):
        assert told.count(f"imewe.build:{topic}") == 4
    beside = {node["event"]["topic"] for node in tree["nodes"] if node["event"]}
    assert {"imewe.node:Reserved", "imewe.inventory:Consumed"} <= beside
    text = events.run("tree", "--job", job_id)
    assert "Submitted with 1 part(s)" in text
    assert "The machine reports the end" in text


def test_every_choice_of_a_machine_is_explained_and_made_again_the_same(
    whole: Whole, job_id: str, events: Events
) -> None:
    chosen = [r for r in about(whole, job_id) if r.topic == "imewe.dispatch:NodeChosen"]
    assert len(chosen) == 4
    found = events.json("explain", str(chosen[-1].sequence), "--reexecute")
    assert found["reexecution"]["same"], found["reexecution"]
    assert found["decision"]["nodeId"] == json.loads(chosen[-1].body)["node_id"]
    assert found["chain"][0]["event"]["topic"] == "imewe.job:Submitted"
    assert found["beginning"]["actorName"]
    text = events.run("explain", chosen[0].headers["Imewe-Event"], "--reexecute")
    assert "the same answer, term by term" in " ".join(text.split())


def test_what_changed_in_an_interval_is_told_of_one_object_and_of_all(
    whole: Whole, job_id: str, events: Events
) -> None:
    own = [r for r in about(whole, job_id) if r.aggregate == job_id]
    begin, end = own[0].sequence, own[-1].sequence
    asked = ("--from", str(begin), "--to", str(end))
    found = events.json("diff", "job", job_id, *asked)
    (changed,) = found["changed"]
    assert (changed["before"]["status"], changed["after"]["status"]) == ("SUBMITTED", "COMPLETED")
    states = [_state(events, job_id, at) for at in (begin, end)]
    done = [
        Change(path=d["path"], how=How(d["how"]), before=d["before"], after=d["after"])
        for d in changed["differences"]
    ]
    assert applied(done, states[0]) == states[1]
    assert "/status" in events.run("diff", "job", job_id, *asked)
    fleet = events.json("diff", *asked)["changed"]
    assert {each["kind"] for each in fleet} >= {"job", "part", "build", "dispatch", "node"}
    between = {r.aggregate for r in whole_log(whole)[begin:end]}
    assert {each["id"] for each in fleet} == between


def _state(events: Events, job_id: str, position: int) -> dict[str, Any]:
    found = events.json("state", "job", job_id, "--as-of", str(position))
    return dict(found["state"])


def test_one_event_is_shown_with_everything_it_says(
    whole: Whole, job_id: str, events: Events
) -> None:
    record = next(r for r in about(whole, job_id) if r.topic == "imewe.build:Finished")
    by_id = events.json("show", record.headers["Imewe-Event"])
    assert by_id == events.json("show", str(record.sequence))
    assert (by_id["hash"], by_id["body"]) == (record.hash, json.loads(record.body))
    assert by_id["words"] == "The machine reports the end"
    assert record.hash in events.run("show", str(record.sequence))


def test_what_cannot_be_shown_is_refused_in_one_line(
    whole: Whole, job_id: str, events: Events
) -> None:
    nobody = "0a1b2c3d-4e5f-5a6b-8c7d-8e9f0a1b2c3d"
    first = str(whole_log(whole)[0].sequence)
    for words, told in (
        (("show", nobody), "there is no event"),
        (("explain", "999999"), "there is no event at position"),
        (("explain", "18446744073709551616"), "there is no event at position"),
        (("tree", nobody), "there is no such story"),
        (("tree",), "name one event"),
        (("state", "node", job_id), "ask for kind job"),
        (("diff", "node", job_id, "--from", "1"), "ask for kind job"),
        (("diff", "job", job_id, "--from", "9", "--to", "3"), "exchange the two"),
        (("diff", "job", job_id, "--from", "yesterday"), "is no moment"),
        (("explain", first, "--reexecute"), "is no choice of a machine"),
    ):
        assert told in events.run(*words, code=1), words


def test_a_program_that_is_not_signed_in_learns_nothing(whole: Whole, tmp_path: Path) -> None:
    stranger = Events(tmp_path, "--url", whole.url)
    assert "you are not logged in" in stranger.run("show", "1", code=4)
