"""A walk through the command line, as the tutorial goes, on the running system."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from ops.cli.main import COMMANDS, GROUPS, application
from tests.whole import Whole

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "ops/docs/handbook").glob("*.md"))]


class Terminal:
    """Runs `imewe` as a person does, in one home."""

    def __init__(self, home: Path) -> None:
        self._home = str(home)

    def run(self, *words: str, code: int = 0) -> str:
        group, *rest = words
        home = ["--home", self._home]
        line = [group, *home, *rest] if group in GROUPS else [group, *rest, *home]
        done = subprocess.run(
            [sys.executable, "-P", "-m", "ops.cli.main", *line],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == code, (words, done.returncode, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stdout + done.stderr

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))


@pytest.fixture
def terminal(whole: Whole) -> Terminal:
    terminal = Terminal(whole.home)
    terminal.run("login")
    return terminal


def test_a_person_walks_through_the_tutorial(
    whole: Whole, terminal: Terminal, program: Path
) -> None:
    session = terminal.json("login")
    assert session["url"] == whole.url
    job_id = terminal.json("jobs", "submit", str(program), "--material", "PLA")["jobId"]
    seen = [
        json.loads(line)
        for line in terminal.run("jobs", "watch", job_id, "--json").split("\n")
        if line
    ]
    assert [job["status"] for job in seen][-1] == "COMPLETED"
    assert len(seen) > 2
    shown = terminal.json("jobs", "show", job_id)
    assert shown["status"] == "COMPLETED"
    assert {part["name"] for part in shown["parts"]} == {program.stem}
    assert job_id in {job["id"] for job in terminal.json("jobs", "list")}
    events = terminal.json("events", "list", "--about", job_id)
    assert events[0]["topic"] == "imewe.job:Submitted"
    assert all(event["hash"].startswith("sha256:") for event in events)
    nodes = terminal.json("nodes", "list")
    assert {node["name"] for node in nodes} >= set(whole.names.values())
    lots = terminal.json("inventory", "list")
    assert sum(lot["consumedMg"] for lot in lots) > 0
    for words in (
        ("jobs", "list"),
        ("jobs", "show", job_id),
        ("nodes", "list"),
        ("events", "list"),
    ):
        assert terminal.run(*words).strip()


def test_status_and_doctor_tell_programs_the_truth(whole: Whole, terminal: Terminal) -> None:
    status = terminal.json("status")
    running = {service["name"]: service["pid"] for service in status["services"]}
    assert status["supervisor"] == whole.supervisor
    for name in ("commands", "processes", "projections", "bridge", "gateway"):
        assert running[name] == whole.pid(name)
    checks = terminal.json("doctor")
    assert checks
    positions = terminal.json("projections", "status")
    assert {each["name"] for each in positions["projections"]} >= {"jobs", "nodes", "inventory"}


def test_refusals_are_one_clear_line_and_an_exit_code(
    whole: Whole, terminal: Terminal, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.stl"
    empty.touch()
    assert "empty" in terminal.run("jobs", "submit", str(empty), code=1)
    nobody = "00000000-0000-4000-8000-000000000000"
    assert "no order" in terminal.run("jobs", "show", nobody, code=1)
    assert "no job" in terminal.run("jobs", "cancel", nobody, code=1)
    terminal.run("login", "eve@example.org", "--password", "wrong", code=4)
    stranger = Terminal(tmp_path / "nowhere")
    assert "imewe up" in stranger.run("jobs", "list", code=3)


def _lines() -> list[str]:
    found = []
    for page in PAGES:
        text = page.read_text()
        quoted = re.findall(r"`(imewe [^`]+)`", text)
        block = re.findall(r"^\s*(?:\.venv/bin/)?(imewe .+)$", text, re.MULTILINE)
        for line in (*quoted, *block):
            words = " ".join(re.sub(r"\s+#.*$", "", line).split())
            found += _alternatives(words)
    return sorted(set(found))


def _alternatives(words: str) -> list[str]:
    """``imewe up|run`` stands for two commands."""
    choice = re.search(r"\w+(?:\|\w+)+", words)
    return [words.replace(choice[0], each) for each in choice[0].split("|")] if choice else [words]


@pytest.mark.parametrize("line", _lines())
def test_every_command_that_the_papers_name_is_one(line: str) -> None:
    """Groups, commands and options; nothing is run."""
    words = line.replace("...", "").split()[1:]
    command: Any = typer.main.get_command(application((*COMMANDS, *GROUPS)))
    while isinstance(command, TyperGroup) and words:
        while words[0].startswith("--"):  # an option of the group, and its value
            assert words[0] in _options(command), line
            del words[:2]
        assert words[0] in command.commands, line
        command = command.commands[words.pop(0)]
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given <= _options(command), line


def _options(command: Any) -> set[str]:
    both = ((*each.opts, *each.secondary_opts) for each in command.params)
    return {name for names in both for name in names}
