"""The command line against a running installation: words, exit codes, JSON."""

import contextlib
import json
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from domain.shared.errors import ForbiddenError, UnauthenticatedError
from ops.cli import watching
from ops.cli.client import Client, SubscriptionLostError
from ops.cli.jobs import CANCEL
from ops.cli.main import COMMANDS, GROUPS, application
from ops.cli.reach import SESSIONS, milligrams, nodes_of
from ops.cli.users import LIST
from ops.eventstore.client import Client as LogClient
from ops.eventstore.keyring import Keyring
from ops.eventstore.personal import Secrets
from ops.eventstore.secrets import SecretBucket
from ops.messaging.connection import address
from tests.gateway_stack import GCODE, Stack, home_of, running_stack

NOBODY = "0a1b2c3d-4e5f-5a6b-8c7d-8e9f0a1b2c3d"
PAUSE = f"""mutation {{ pauseNode(nodeId: "{NOBODY}", reason: "x") {{
  position problems {{ code message field remedy }} }} }}"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    for stack in running_stack():
        assert stack.run("jobs", "list").exit_code == 4
        assert stack.run("login").exit_code == 0
        yield stack


def told(stack: Stack, *words: str) -> Any:
    """The JSON that a command prints; it must succeed."""
    result = stack.run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_the_token_is_kept_where_only_its_owner_can_read_it(stack: Stack) -> None:
    kept = stack.home / SESSIONS
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert json.loads(kept.read_text())[stack.url]["mail"] == stack.admin["mail"]


def test_a_wrong_password_is_not_logged_in(stack: Stack) -> None:
    result = stack.run("login", stack.admin["mail"], "--password", "wrong")
    assert result.exit_code == 4
    assert "imewe:" in result.stderr


def test_an_order_goes_from_file_to_list_to_its_story(stack: Stack) -> None:
    made = told(stack, "jobs", "submit", str(GCODE), "--quantity", "2", "--priority", "7")
    listed = {job["id"]: job for job in until_listed(stack, made["jobId"])}
    assert listed[made["jobId"]]["name"] == "cable_clip"
    assert listed[made["jobId"]]["priority"] == 7
    shown = told(stack, "jobs", "show", made["jobId"])
    assert shown["timeline"][0]["words"]
    assert stack.run("jobs", "show", made["jobId"]).exit_code == 0
    assert stack.run("jobs", "list").exit_code == 0


def test_a_refused_order_ends_with_one_clear_line(stack: Stack) -> None:
    result = stack.run("jobs", "submit", str(GCODE), "--priority", "11")
    assert result.exit_code == 1
    assert result.stderr == "imewe: priority must be from 1 to 10, not 11 (priority)\n"


def test_wrong_usage_has_its_own_exit_code(stack: Stack) -> None:
    assert stack.run("jobs", "submit", "/does/not/exist.stl").exit_code == 2
    assert stack.run("jobs", "reprioritize", NOBODY, "high").exit_code == 2
    assert stack.run("inventory", "receive", NOBODY, "PLA", "some").exit_code == 2


def test_where_no_gateway_answers_is_told_apart(stack: Stack, tmp_path: Path) -> None:
    app = application(GROUPS)
    empty = CliRunner().invoke(app, ["jobs", "--home", str(tmp_path / "none"), "list"])
    assert empty.exit_code == 3
    assert "imewe up" in empty.stderr
    kept = json.loads((stack.home / SESSIONS).read_text())
    gone = "http://127.0.0.1:9"
    kept[gone] = kept[stack.url]
    (stack.home / SESSIONS).write_text(json.dumps(kept))
    assert stack.run("jobs", "--url", gone, "list").exit_code == 3


def test_an_order_that_nobody_made_is_refused(stack: Stack) -> None:
    assert stack.run("jobs", "show", NOBODY).exit_code == 1
    assert stack.run("jobs", "cancel", NOBODY).exit_code == 1
    assert stack.run("jobs", "watch", NOBODY).exit_code == 1


@pytest.mark.parametrize("lost", [False, True], ids=["by subscription", "by asking"])
def test_watching_ends_with_the_order(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    if lost:

        def subscribe(*_: Any) -> Any:
            raise SubscriptionLostError("no websockets here")

        monkeypatch.setattr("ops.cli.client.Client.subscribe", subscribe)
        monkeypatch.setattr(watching, "ASK_EVERY_S", 0.1)
    made = told(stack, "jobs", "submit", str(GCODE), "--material", "UNOBTAINIUM")
    until_listed(stack, made["jobId"])
    with stack.client() as client:
        asked = {"id": made["jobId"], "reason": "changed my mind"}
        cancelling = threading.Timer(0.5, client.command, (CANCEL, asked))
        cancelling.start()
        result = stack.run("jobs", "watch", made["jobId"], "--json")
        cancelling.join()
    assert result.exit_code == 1
    last = json.loads(result.stdout.splitlines()[-1])
    assert last["status"] in {"CANCELLED", "REJECTED"}


def test_a_machine_is_registered_configured_stocked_and_paused(
    stack: Stack, tmp_path: Path
) -> None:
    node = told(stack, "nodes", "register", "prusa-1", "--virtual")["nodeId"]
    profile = tmp_path / "printer.json"
    size = {"x": 250, "y": 210, "z": 200}
    profile.write_text(json.dumps({"process": "fdm", "materials": ["PLA"], "maxSize": size}))
    told(stack, "nodes", "configure", node, "--profile", str(profile))
    told(stack, "nodes", "configure", node, "--profile", str(profile), "--materials", "PLA,PETG")
    lot = told(stack, "inventory", "receive", node, "PLA", "1kg", "--lot", "A")["inventoryId"]
    told(stack, "inventory", "count", lot, "990g")
    last = told(stack, "inventory", "correct", lot, "-40g", "--reason", "purge")
    told(stack, "nodes", "clear-bed", "prusa-1")
    told(stack, "nodes", "pause", "prusa-1", "--reason", "belt")
    until_past(stack, last["position"])
    (kept,) = told(stack, "inventory", "list", "--node", node)
    assert kept["freeMg"] == 950_000
    shown = told(stack, "nodes", "show", node)
    assert shown["capabilities"]["maxSize"] == size
    assert shown["capabilities"]["materials"] == ["PETG", "PLA"]
    assert told(stack, "nodes", "resume", node)["problems"] == []
    for words in (("nodes", "list"), ("nodes", "show", node), ("inventory", "list")):
        assert stack.run(*words).exit_code == 0


def test_a_name_that_nobody_or_several_bear_is_refused(stack: Stack) -> None:
    for _ in range(2):
        told(stack, "nodes", "register", "twin", "--virtual")
    for name in ("nobody", "twin"):
        assert stack.run("nodes", "pause", name).exit_code == 1


def test_a_profile_that_is_no_json_or_has_an_unknown_field_is_refused(
    stack: Stack, tmp_path: Path
) -> None:
    profile = tmp_path / "profile.json"
    for wrong in ("{", '{"process": "fdm", "colour": "red"}', '{"process": "witchcraft"}'):
        profile.write_text(wrong)
        assert stack.run("nodes", "configure", NOBODY, "--profile", str(profile)).exit_code == 1


def test_people_are_added_and_their_roles_change(stack: Stack) -> None:
    added = told(stack, "users", "add", "bob@example.org", "designer", "--password", "long enough")
    told(stack, "users", "grant", added["accountId"], "operator")
    last = told(stack, "users", "revoke", added["accountId"], "designer")
    until_past(stack, last["position"])
    (bob,) = [u for u in told(stack, "users", "list") if u["id"] == added["accountId"]]
    assert [grant["role"] for grant in bob["grants"]] == ["OPERATOR"]
    unknown = stack.run("users", "grant", added["accountId"], "wizard")
    assert unknown.exit_code == 1
    assert "wizard" in unknown.stderr.lower()


def test_logins_and_denials_are_in_the_trail(stack: Stack) -> None:
    told(stack, "users", "add", "vic@example.org", "viewer", "--password", "long enough")
    with Client.signed_in(stack.url, mail="vic@example.org", password="long enough") as viewer:
        with pytest.raises(ForbiddenError):
            viewer.execute("{ auditTrail { edges { cursor } } }")
        with pytest.raises(ForbiddenError):
            viewer.command(PAUSE)
    with pytest.raises(UnauthenticatedError):
        Client.signed_in(stack.url, mail="vic@example.org", password="wrong horse")
    until = time.monotonic() + 30
    while len(found := told(stack, "users", "trail")) < 4 or "read auditTrail" not in {
        each["action"] for each in found
    }:
        assert time.monotonic() < until, found
        time.sleep(0.1)
    seen = {(each["action"], each["outcome"], each["address"]) for each in found}
    assert seen >= {
        ("login", "OK", "127.0.0.1"),
        ("login", "UNAUTHENTICATED", "127.0.0.1"),
        ("PauseNode", "FORBIDDEN", "127.0.0.1"),
        ("read auditTrail", "FORBIDDEN", "127.0.0.1"),
    }
    older = told(stack, "users", "trail", "--before", found[0]["cursor"])
    assert [each["hash"] for each in older] == [each["hash"] for each in found[1:]]
    assert "vic@example.org" not in json.dumps(found)


def test_admins_see_names_until_they_are_erased_and_auditors_see_none(stack: Stack) -> None:
    words = ("users", "add", "eve@example.org", "viewer", "--name", "Eve Moreau")
    added = told(stack, *words, "--password", "long enough")
    until_past(stack, added["position"])
    with stack.client() as client:
        token = stack.token("auditor", place=home_of(client))
    assert (named(stack, added)["name"], named(stack, added)["mail"]) == (
        "Eve Moreau",
        "eve@example.org",
    )
    assert stack.run("users", "list").exit_code == 0
    with Client(stack.url, token) as auditor:
        shown = nodes_of(auditor.execute(LIST)["accounts"])
    assert {(account["name"], account["mail"]) for account in shown} == {(None, None)}
    with contextlib.closing(LogClient(address(stack.settings, "log_commands"))) as client:
        keys = Secrets(SecretBucket(client), Keyring(stack.home))
        keys.erase_person(added["accountId"])
    assert (named(stack, added)["name"], named(stack, added)["mail"]) == (None, None)


def named(stack: Stack, added: dict[str, Any]) -> dict[str, Any]:
    (found,) = [u for u in told(stack, "users", "list") if u["id"] == added["accountId"]]
    return dict(found)


def test_events_are_listed_and_followed(stack: Stack) -> None:
    listed = told(stack, "events", "list", "--kind", "account")
    assert listed[0]["topic"] == "imewe.account:Opened"
    assert set(listed[0]["body"]["mail"]) == {"enc", "key", "nonce", "ct"}
    result = stack.run("events", "tail", "--after", "0", "--count", "3", "--json")
    positions = [json.loads(line)["position"] for line in result.stdout.splitlines()]
    assert positions == ["1", "2", "3"]


def test_a_bridge_gets_a_machine_and_refuses_a_port_twice(stack: Stack, tmp_path: Path) -> None:
    app = application(GROUPS)

    def bridge(*words: str) -> Any:
        return CliRunner().invoke(app, ["bridge", *words, "--home", str(tmp_path)])

    assert bridge("add", NOBODY, "/dev/ttyUSB0", "--name", "prusa").exit_code == 0
    again = bridge("add", "1a1b2c3d-4e5f-5a6b-8c7d-8e9f0a1b2c3d", "/dev/ttyUSB0")
    assert again.exit_code == 1
    assert "prusa" in again.stderr
    assert bridge("add", NOBODY, "/dev/ttyACM0", "--dialect", "klingon").exit_code == 1
    (machine,) = json.loads(bridge("list", "--json").stdout)
    assert (machine["name"], machine["dialect"]) == ("prusa", "marlin")


def test_every_help_has_an_example() -> None:
    for path, command in commands(typer.main.get_command(application((*COMMANDS, *GROUPS)))):
        if not hasattr(command, "commands"):
            assert "Example" in (command.help or ""), f"imewe {path} --help has no example"


@pytest.mark.parametrize(
    ("text", "mg"),
    [
        ("1kg", 1_000_000),
        ("750g", 750_000),
        ("12.5 g", 12_500),
        ("3000MG", 3000),
        ("-20g", -20_000),
    ],
)
def test_quantities_are_read_as_people_write_them(text: str, mg: int) -> None:
    assert milligrams(text) == mg


@pytest.mark.parametrize("text", ["", "1", "kg", "1lb", "onekg"])
def test_a_quantity_without_a_unit_is_none(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        milligrams(text)


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in getattr(group, "commands", {}).items():
        yield f"{path}{name}", command
        yield from commands(command, f"{path}{name} ")


def until_listed(stack: Stack, job_id: str) -> list[dict[str, Any]]:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        listed: list[dict[str, Any]] = told(stack, "jobs", "list")
        if any(job["id"] == job_id for job in listed):
            return listed
        time.sleep(0.05)
    pytest.fail(f"order {job_id} does not appear")


def until_past(stack: Stack, position: str) -> None:
    with stack.client() as client:
        query = "query($at: Position) { jobs(first: 1, atLeast: $at) { edges { cursor } } }"
        client.execute(query, {"at": position})
