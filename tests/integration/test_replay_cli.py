"""An auditor's way: export from a running installation, replay elsewhere, compare the hashes."""

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from domain.shared.errors import NotFoundError
from ops.cli.client import Client
from ops.cli.main import COMMANDS, GROUPS, application
from ops.eventstore.client import Client as LogClient
from ops.eventstore.streams import LogNames, ensure_streams
from ops.hosting.account import server_account
from ops.hosting.home import lock_holder
from ops.messaging.server import EmbeddedNats, credentials
from ops.messaging.serving import served
from ops.settings import LEAST_STORE_BYTES, Settings
from tests.eventlog import OwnLog
from tests.gateway_stack import GCODE, Stack, home_of, up
from tests.replaying import stored
from tests.stories import busy_shop

PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def outer() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="imewe-replay-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def stack(outer: Path) -> Iterator[Stack]:
    with up(outer / "home", told=outer / "up.json") as stack:
        assert stack.run("login").exit_code == 0
        assert stack.run("jobs", "submit", str(GCODE), "--quantity", "2").exit_code == 0
        yield stack


def run(*words: str) -> Result:
    return CliRunner().invoke(application((*COMMANDS, *GROUPS)), list(words))


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def live(stack: Stack, position: int, folder: Path) -> Path:
    """The hashes that the installation shows of that position, once it has come there."""
    until = time.monotonic() + PATIENCE_S
    while True:
        result = stack.run("projections", "hashes", "--as-of", str(position), "--json")
        if result.exit_code == 0:
            path = folder / "live.json"
            path.write_text(result.stdout.splitlines()[-1])
            return path
        assert time.monotonic() < until, result.output
        time.sleep(0.1)


def test_what_an_installation_shows_is_what_its_log_says(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl.gz"
    exported = told(stack.run("events", "export", "--output", str(file), "--json"))
    with stack.client() as client:
        assert exported["organisations"] == [home_of(client)]
    assert exported["events"] == exported["to"] > 5
    for position in (exported["to"], 4):
        shown = live(stack, position, tmp_path)
        words = ("--as-of", str(position), "--compare", str(shown), "--json")
        answer = told(run("replay", str(file), *words))
        assert answer["different"] == []
        assert answer["whole"] is True
        assert {each["position"] for each in answer["models"]} == {position}
    assert run("replay", str(file), "--as-of", "4").exit_code == 0
    other = run("replay", str(file), "--as-of", "3", "--compare", str(shown))
    assert other.exit_code == 1
    assert "different: jobs" in other.stderr


def test_only_who_audits_gets_stored_events_and_hashes(stack: Stack, tmp_path: Path) -> None:
    with stack.client() as admin:
        place = home_of(admin)
    with Client(stack.url, stack.token("operator", place=place)) as operator:
        answer = operator._post("/graphql", json={"query": "{ storedEvents { position } }"}).json()
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    elsewhere = "0a1b2c3d-4e5f-5a6b-8c7d-8e9f0a1b2c3d"
    with Client(stack.url, stack.token("auditor", place=elsewhere)) as stranger:
        query = "{ storedEvents { events { position } leftOut position } }"
        page = stranger.execute(query)["storedEvents"]
    assert page["events"] == []
    assert page["leftOut"] == int(page["position"]) > 0


def test_refusals_are_one_clear_line(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "log"
    late = stack.run("events", "export", "--output", str(file), "--to", "999999")
    assert (late.exit_code, late.stderr[:20]) == (1, "imewe: the log ends ")
    file.write_text("{}\n")
    assert stack.run("events", "export", "--output", str(file)).exit_code == 1
    for words in (
        ("replay", str(file)),
        ("replay", str(tmp_path / "none")),
        ("schema", "check", str(file)),
        ("replay", str(file), "--as-of", "noon"),
    ):
        assert run(*words).exception is not None
    assert file.read_text() == "{}\n"


def test_who_may_read_the_home_exports_the_whole_log(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "running.jsonl"
    answer = told(stack.run("events", "export", "--direct", "--output", str(file), "--json"))
    assert "organisations" not in answer
    assert answer["events"] == answer["to"] > 5
    assert told(run("schema", "check", str(file), "--validate", "--json"))["readable"] is True


@pytest.fixture
def stopped_home(fresh_home: Path) -> Path:
    """A home with a story in its log, and nobody at work."""
    server = EmbeddedNats(fresh_home, server_account())
    server.start()
    try:
        log = OwnLog(server=server, passwords=credentials(fresh_home), names=LogNames())
        with contextlib.closing(LogClient(log.address("log_supervisor"))) as supervisor:
            ensure_streams(supervisor)
        stored(log, busy_shop(1).events)
        for factory in log.factories:
            factory.close()
    finally:
        server.stop()
    return fresh_home


def test_a_stopped_home_gives_its_whole_log(stopped_home: Path, tmp_path: Path) -> None:
    hashes = set()
    home = ("--home", str(stopped_home))
    for format in ("jsonl", "cloudevents", "parquet"):
        file = tmp_path / format
        answer = told(
            run("events", *home, "export", "--format", format, "--output", str(file), "--json")
        )
        assert answer["events"] == answer["to"] > 20
        replayed = told(run("replay", str(file), "--json"))
        assert replayed["whole"] is True
        hashes.add(tuple(each["hash"] for each in replayed["models"]))
    assert len(hashes) == 1
    assert told(run("schema", "check", *home, "--json"))["events"] == answer["events"]
    assert lock_holder(stopped_home) is None


def test_the_server_of_a_stopped_home_is_bounded_as_asked(stopped_home: Path) -> None:
    settings = Settings(home=stopped_home, store_bytes=LEAST_STORE_BYTES)
    with served(settings):
        started = json.loads((stopped_home / "nats.conf").read_text())
    assert started["jetstream"]["max_file_store"] == LEAST_STORE_BYTES
    assert lock_holder(stopped_home) is None


def test_a_home_that_is_none_is_refused(tmp_path: Path) -> None:
    words = ("events", "--home", str(tmp_path / "no"), "export", "--output", str(tmp_path / "x"))
    assert run(*words).exit_code == 1
    assert isinstance(run("schema", "check", "--home", str(tmp_path)).exception, NotFoundError)
    assert list(tmp_path.iterdir()) == []
