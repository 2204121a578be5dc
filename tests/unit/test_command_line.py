"""The command line without an installation: its help, its refusals and its exit codes."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ops.cli.main import COMMANDS, GROUPS, application
from ops.hosting.errors import HomeInUseError
from ops.hosting.home import held, make_home, refuse_in_use
from ops.settings import CHECKOUT

PNG = b"\x89PNG\r\n\x1a\n"


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command, groups left out."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


EVERY_COMMAND = list(commands(typer.main.get_command(application((*COMMANDS, *GROUPS)))))


def imewe(*words: str) -> subprocess.CompletedProcess[str]:
    """Run it as a person does."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "ops.cli.main", *words],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("words", EVERY_COMMAND, ids=" ".join)
def test_every_commands_help_has_an_example_of_itself(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(application(words[:1]), [*words, "--help"])
    assert shown.exit_code == 0
    text = " ".join(re.sub(r"[│|]", " ", shown.stdout).split())
    assert f"Example: imewe {' '.join(words)}" in text


def test_every_word_of_the_command_line_is_walked() -> None:
    assert {words[0] for words in EVERY_COMMAND} == {*COMMANDS, *GROUPS}


def test_wrong_usage_is_2() -> None:
    assert imewe("nodes", "dance").returncode == 2
    assert imewe("demo", "/does/not/exist.stl").returncode == 2
    assert imewe("demo", str(CHECKOUT)).returncode == 2


@pytest.mark.parametrize(
    "words",
    [("status",), ("projections", "status"), ("jobs", "list"), ("login",)],
    ids=" ".join,
)
def test_where_nothing_runs_is_3(tmp_path: Path, words: tuple[str, ...]) -> None:
    home = ("--home", str(tmp_path / "home"))
    early = words[0] in ("jobs", "projections")
    done = imewe(words[0], *home, *words[1:]) if early else imewe(*words, *home)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
    assert done.stderr.startswith("imewe: ")
    assert "imewe up" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "dance"), "no service"),
        (("bench", "patience"), "no bench"),
        (("projections", "rebuild"), "--all"),
        (("bridge", "add", "n", "/dev/null", "--dialect", "klingon"), "klingon"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_refusal_is_1_and_one_clear_line(words: tuple[str, ...], said: str) -> None:
    done = imewe(*words)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert said in done.stderr.splitlines()[0]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.stl", b"", "is empty"),
        ("picture.stl", PNG, "is a PNG file"),
        ("cut.stl", b"solid cut\nfacet normal 0 0 1\n", "is cut off"),
    ],
)
def test_the_demo_refuses_a_file_of_no_use_before_it_starts_anything(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    home = tmp_path / "home"
    done = imewe("demo", "--once", "--home", str(home), str(tmp_path / name))
    assert done.returncode == 1
    assert done.stderr.startswith(f"imewe: {name} {said}")
    assert not home.exists()


def test_the_demo_refuses_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = imewe("demo", "--once", "--home", str(home), "/proc/self/mem")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "cannot be read" in done.stderr
    assert not home.exists()


def test_the_demo_refuses_a_home_that_another_one_holds(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    refuse_in_use(home)
    with held(home):
        with pytest.raises(HomeInUseError, match="in use"):
            refuse_in_use(home)
        before = set(home.iterdir())
        done = imewe("demo", "--once", "--home", str(home))
        assert done.returncode == 3
        assert "--home" in done.stderr
        assert set(home.iterdir()) == before


@pytest.mark.parametrize("words", [("backup", "PLACE"), ("audit", "publish", "list")], ids=" ".join)
def test_a_file_that_cannot_be_made_or_read_is_one_line(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    taken.touch()
    home = tmp_path / "home"
    make_home(home)
    (home / "notary.json").mkdir()
    asked = [str(taken / "below") if word == "PLACE" else word for word in words]
    done = imewe(*asked, "--home", str(home))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("imewe: ")
    assert str(tmp_path) in done.stderr


def test_every_command_that_ends_by_itself_has_an_answer_for_programs() -> None:
    stays = {("run",)}
    for words in EVERY_COMMAND:
        shown = CliRunner().invoke(application(words[:1]), [*words, "--help"]).stdout
        assert ("--json" in shown) != (words in stays), words


def test_the_verifier_for_programs_comes_with_its_digest() -> None:
    told = json.loads(imewe("audit", "verifier", "--json").stdout)
    assert told["text"] == imewe("audit", "verifier").stdout
    assert told["sha256"] == hashlib.sha256(told["text"].encode()).hexdigest()


@pytest.mark.parametrize("words", EVERY_COMMAND, ids=" ".join)
def test_every_command_takes_a_home_behind_it(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(application(words[:1]), [*words, "--help"])
    assert "--home" in shown.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("jobs", "list"),
        ("events", "export", "--output", "OUT"),
        ("audit", "verify"),
        ("audit", "publish", "list"),
        ("schema", "check"),
        ("backup", "OUT"),
        ("status",),
    ],
    ids=" ".join,
)
def test_the_home_may_stand_before_or_behind_any_word(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    home = tmp_path / "mine"
    asked = [str(tmp_path / "out") if word == "OUT" else word for word in words]
    refused = set()
    for place in range(len(words) + 1):
        said = [*asked[:place], "--home", str(home), *asked[place:]]
        if words[place - 1] != "--output":
            done = CliRunner().invoke(application(words[:1]), said)
            refused.add(str(done.exception) + done.output)
            assert str(home) in str(done.exception) + done.output, said
    assert len(refused) == 1


def test_the_home_said_last_counts(tmp_path: Path) -> None:
    words = ["audit", "--home", str(tmp_path / "a"), "verify", "--home", str(tmp_path / "b")]
    done = CliRunner().invoke(application(["audit"]), words)
    assert str(tmp_path / "b") in done.output
    assert str(tmp_path / "a") not in done.output


def test_places_of_heads_are_those_of_the_home_named_before_the_group(tmp_path: Path) -> None:
    make_home(tmp_path / "home")
    home = ("audit", "--home", str(tmp_path / "home"), "publish")
    told = imewe(*home, "add", "folder", str(tmp_path), "--json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["to"] == str(tmp_path)
    found = imewe(*home, "list", "--home", str(tmp_path / "home"), "--json")
    assert [each["name"] for each in json.loads(found.stdout)] == ["folder"]
    assert json.loads(imewe(*home, "remove", "folder", "--json").stdout) == {"removed": "folder"}
