"""The notary inside `imewe up`, by its commands."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner, Result

from domain.shared.errors import ForbiddenError
from ops.cli.client import Client
from ops.cli.main import application
from ops.eventstore.client import Client as BlockingClient
from ops.messaging.connection import address, connect
from ops.messaging.services import ping_all
from ops.notary.head_stream import HeadStream
from ops.notary.heads import Head, open_note
from ops.notary.keys import VerifierKey, open_rotation
from tests.gateway_stack import Stack, home_of, running_stack
from tests.notarial import DEADLINE_S

LARGEST_MIB = 110
"""Of one small process: 75 MiB were seen."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    for stack in running_stack():
        assert stack.run("login").exit_code == 0
        until = time.monotonic() + DEADLINE_S
        while told(stack, "status")["phase"] != "following":
            assert time.monotonic() < until
            time.sleep(0.1)
        yield stack


def told(stack: Stack, *words: str) -> Any:
    """The JSON that a command of the group prints; it must succeed."""
    result = stack.run("audit", *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_what_was_signed_opens_with_the_keys_that_are_shown(stack: Stack) -> None:
    made = told(stack, "rotate")
    keys = told(stack, "keys")
    assert keys[-1] == made
    first = open_rotation(keys[0]["note"], None)
    second = open_rotation(keys[1]["note"], first.key)
    assert VerifierKey.read(keys[1]["verifier"]) == second.key
    newest = told(stack, "heads", "--first", "1")["edges"][0]["node"]
    text, _ = open_note(newest["note"], [first.key])
    assert Head.read(text).size == int(newest["size"]) == second.size - 1 > 0
    status = told(stack, "status")
    assert int(status["sizeSigned"]) >= int(newest["size"])
    assert (status["flaw"], status["keyNumber"], status["trouble"]) == (None, made["number"], "")


def test_people_are_told_in_words(stack: Stack) -> None:
    number = told(stack, "rotate")["number"]
    shown = stack.run("audit", "status").stdout
    assert "unsigned tail:" in shown
    assert json.loads(overview_of(stack, "--json").stdout)["flaw"] is None
    assert f"key {number} signs from now on" in shown
    assert f"with key {number}" not in shown
    assert "+" in stack.run("audit", "keys").stdout
    assert "imewe.log/" in stack.run("audit", "heads", "--notes").stdout
    assert "signed at" in stack.run("audit", "heads").stdout


def test_a_rotation_stands_in_the_audit_trail_under_the_persons_name(stack: Stack) -> None:
    told(stack, "rotate")
    with stack.client() as admin:
        trail = admin.execute(
            "{ auditTrail { edges { node { actor action outcome resource } } } me { accountId } }"
        )
    (newest, *_) = [
        edge["node"]
        for edge in trail["auditTrail"]["edges"]
        if edge["node"]["action"] == "notary.rotate"
    ]
    assert newest["outcome"] == "done"
    assert newest["actor"] == f"user/{trail['me']['accountId']}"
    assert newest["resource"].startswith("key ")


def test_who_may_not_read_the_proof_is_refused_by_the_notary(stack: Stack) -> None:
    with stack.client() as admin:
        place = home_of(admin)
    with Client(stack.url, stack.token("operator", place=place)) as operator:
        for query in ("{ auditStatus { phase } }", "{ auditKeys { number } }"):
            with pytest.raises(ForbiddenError, match="read proof"):
                operator.execute(query)
    with Client(stack.url, stack.token("auditor", place=place)) as auditor:
        assert auditor.execute("{ auditStatus { phase } }")["auditStatus"]["phase"]
        with pytest.raises(ForbiddenError, match="rotate notary key"):
            auditor.command(
                "mutation { rotateAuditKey { problems { code message field remedy } } }"
            )


def test_heads_go_where_the_admin_says(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "heads.jsonl"
    home = ("--home", str(stack.home))
    run = stack.run("audit", "publish", "add", "file", str(path), "--name", "usb", *home)
    assert run.exit_code == 0, run.output
    until = time.monotonic() + DEADLINE_S
    while not path.exists() or len(path.read_text().splitlines()) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert "rotation" in json.loads(path.read_text().splitlines()[0])
    assert "usb" in stack.run("audit", "publish", "list", *home).stdout
    assert stack.run("audit", "publish", "remove", "usb", *home).exit_code == 0
    assert stack.run("audit", "publish", "remove", "usb", *home).exit_code == 1
    assert stack.run("audit", "publish", "add", "file", "not/absolute", *home).exit_code == 1


def test_a_place_that_takes_no_heads_is_said_and_is_no_success(stack: Stack) -> None:
    home = ("--home", str(stack.home))
    away = "http://127.0.0.1:9/heads"
    assert (
        stack.run("audit", "publish", "add", "http", away, "--name", "away", *home).exit_code == 0
    )
    until = time.monotonic() + DEADLINE_S
    while (shown := stack.run("audit", "status")).exit_code == 0:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert shown.exit_code == 1
    assert f"away (http {away}): " in shown.stdout
    assert "has all up to" not in shown.stdout
    assert stack.run("audit", "publish", "remove", "away", *home).exit_code == 0
    assert stack.run("audit", "status").exit_code == 0


async def test_the_notary_is_found_and_small(stack: Stack) -> None:
    found = await announced(stack)
    assert psutil.Process(int(found["pid"])).memory_info().rss / 2**20 < LARGEST_MIB
    assert "flaw" not in found


def test_a_flaw_is_said_everywhere_and_nothing_more_is_signed(stack: Stack) -> None:
    """The last test: an old head is put into the stream again."""
    signed = told(stack, "status")["sizeSigned"]
    client = BlockingClient(address(stack.settings, "log_notary"))
    stream = HeadStream(client)
    *_, newest = stream.after(0)
    head = next(each for each in stream.after(0) if not each.is_key)
    stream.append(head.note, is_key=False, after=newest.sequence)
    client.close()
    assert stack.run("audit", "rotate").exit_code == 1
    until = time.monotonic() + DEADLINE_S
    while "flaw" not in (found := asyncio.run(announced(stack))):
        assert time.monotonic() < until, found
    size = Head.read(head.note.rpartition("\n\n")[0] + "\n").size
    reason = "two heads that were signed do not follow one another"
    assert found["flaw"] == f"event {size}: {reason}"
    while "FLAW" not in (overview := overview_of(stack)).stdout:
        assert time.monotonic() < until, "even a busy notary answers in the end"
    assert f"FLAW IN THE LOG, event {size}: {reason}" in overview.stdout
    assert "imewe restore" in overview.stdout
    assert overview.exit_code == 1
    while not (flaw := json.loads(overview_of(stack, "--json").stdout)["flaw"]):
        assert time.monotonic() < until
    assert flaw == f"event {size}: {reason}"
    shown = stack.run("audit", "status")
    assert shown.exit_code == 1
    assert f"FLAW at event {size}: {reason}" in shown.stdout
    assert stack.run("audit", "rotate").exit_code == 1
    with stack.client() as admin:
        while not (told_of := flaws_in_trail(admin)):
            assert time.monotonic() < until
            time.sleep(0.1)
        status = admin.execute("{ auditStatus { sizeSigned flaw { sequence } } }")["auditStatus"]
    assert told_of == [("service/notary", "failed", f"event {size}")]
    assert status == {"sizeSigned": signed, "flaw": {"sequence": str(size)}}


def overview_of(stack: Stack, *options: str) -> Result:
    """What `imewe status` says."""
    words = ["status", "--home", str(stack.home), *options]
    return CliRunner().invoke(application(["status"]), words)


def flaws_in_trail(admin: Client) -> list[tuple[str, str, str]]:
    trail = admin.execute("{ auditTrail { edges { node { actor action outcome resource } } } }")[
        "auditTrail"
    ]
    nodes = [edge["node"] for edge in trail["edges"]]
    return [
        (node["actor"], node["outcome"], node["resource"])
        for node in nodes
        if node["action"] == "notary.sign"
    ]


async def announced(stack: Stack) -> Mapping[str, str]:
    """What the notary says of itself, nothing while it is away."""
    asking = await connect(stack.settings, "supervisor")
    try:
        found = [each for each in await ping_all(asking, wait=0.2) if each.name == "notary"]
        return found[-1].metadata if found else {}
    finally:
        await asking.close()
