"""A person is erased in a running installation, and every file is searched for what was told."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from domain.shared.errors import ImeweError, UnauthenticatedError
from ops.cli.client import Client
from ops.cli.subjects import CERTIFICATE, PARTS, PROFILE
from ops.database.connection import conninfo
from ops.eventstore.chain import verify
from ops.eventstore.client import Client as LogClient
from ops.eventstore.envelope import Record
from ops.eventstore.keyring import Keyring
from ops.eventstore.personal import Secrets
from ops.eventstore.reader import LogReader
from ops.eventstore.secrets import SecretBucket
from ops.messaging.connection import address
from ops.projecting.comparing import canonical
from ops.settings import CHECKOUT
from projections.catalogue import CATALOGUE
from tests.gateway_stack import GCODE, Stack, running_stack, submitted
from tests.needles import files_with
from tests.projecting import migrated, running, until_all_at

PASSWORD = "a long enough password"
NAME, MAIL = "Zdeňka Needlová", "zdenka.needlova@example.org"
NOTES = {
    "hold": "the belt squeaks, says Zdeňka from flat 7b",
    "cancel": "my aunt Ottilie no longer wants the clips",
    "correct": "weighed by Zdeňka at the kitchen table",
}
NEEDLES = [text.encode() for text in (NAME, MAIL, *NOTES.values())]
PROBLEMS = "problems { code message field remedy }"
OPEN = f"""mutation($mail: String!, $name: String!, $password: String!, $role: Role!) {{
  openAccount(mail: $mail, name: $name, password: $password, role: $role) {{
    accountId position {PROBLEMS} }} }}"""
GRANT = f"""mutation($id: ID!, $role: Role!) {{
  grantRole(accountId: $id, role: $role) {{ position {PROBLEMS} }} }}"""
ERASE = f"""mutation($id: ID!, $reason: String!, $command: ID) {{
  eraseSubject(subjectId: $id, reason: $reason, commandId: $command) {{
    subjectId position {PROBLEMS} certificate {CERTIFICATE} }} }}"""
REGISTER = f"""mutation {{ registerNode(name: "needle-1", virtual: true) {{
  nodeId position {PROBLEMS} }} }}"""
PAUSE = f"""mutation($id: ID!, $reason: String!) {{
  pauseNode(nodeId: $id, reason: $reason) {{ position {PROBLEMS} }} }}"""
CANCEL = f"""mutation($id: ID!, $reason: String!) {{
  cancelJob(jobId: $id, reason: $reason) {{ position {PROBLEMS} }} }}"""
STOCK = f"""mutation($id: ID!) {{ receiveMaterial(nodeId: $id, materialType: "PLA", lot: "n1",
  quantityMg: 1000000) {{ inventoryId position {PROBLEMS} }} }}"""
CORRECT = f"""mutation($id: ID!, $reason: String!) {{ correctMaterial(inventoryId: $id,
  differenceMg: -1000, reason: $reason) {{ position {PROBLEMS} }} }}"""
SEEN = """query($job: ID!, $node: ID!, $at: Position) {
  job(id: $job, atLeast: $at) { cancelReason timeline(first: 500) { words } }
  node(id: $node, atLeast: $at) { holdReason lots { entries { reason } } }
  accounts(first: 100, atLeast: $at) { edges { node { id name mail closed erasedAt } } } }"""


class Person(NamedTuple):
    """Somebody who was here, what that person touched, and the person's keys."""

    account_id: str
    job_id: str
    node_id: str
    client: Client
    position: str
    key: bytes
    wrapped: bytes


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    for stack in running_stack():
        assert stack.run("login").exit_code == 0
        yield stack


@pytest.fixture(scope="module")
def person(stack: Stack) -> Iterator[Person]:
    with stack.client() as admin:
        account_id = opened(admin, MAIL, NAME)
        admin.command(GRANT, {"id": account_id, "role": "OPERATOR"})
        node_id = admin.command(REGISTER)["nodeId"]
        lot = admin.command(STOCK, {"id": node_id})["inventoryId"]
    with contextlib.suppress(UnauthenticatedError):
        Client.signed_in(stack.url, mail=MAIL, password="a wrong password")
    with Client.signed_in(stack.url, mail=MAIL, password=PASSWORD) as client:
        client.command(PAUSE, {"id": node_id, "reason": NOTES["hold"]})
        job_id = submitted(client, client.upload(GCODE)["digest"])["jobId"]
        client.command(CANCEL, {"id": job_id, "reason": NOTES["cancel"]})
        done = client.command(CORRECT, {"id": lot, "reason": NOTES["correct"]})
        key, wrapped = keys_of(stack, account_id)
        yield Person(account_id, job_id, node_id, client, done["position"], key, wrapped)


@pytest.fixture(scope="module")
def bystander(stack: Stack) -> str:
    with stack.client() as admin:
        return opened(admin, "ben@example.org", "Ben Bystander")


@pytest.fixture(scope="module")
def erased(stack: Stack, person: Person, bystander: str) -> dict[str, Any]:
    """The certificate; asked for once the state before was looked at."""
    assert_readable(stack, person)
    assert_told_to_the_person(stack, person)
    kept = rows(stack)
    log = [(each.sequence, each.hash, each.body) for each in records(stack)]
    assert set(files_with(stack.home, [*NEEDLES, person.key, person.wrapped])) == {person.wrapped}
    with stack.client() as admin:
        done = admin.command(ERASE, {"id": person.account_id, "reason": "she asked for it"})
        seen(admin, person, at=done["position"])
    assert same(kept, rows(stack), without=person.account_id)
    after = [(each.sequence, each.hash, each.body) for each in records(stack)]
    assert after[: len(log)] == log
    return dict(done["certificate"])


def test_nothing_of_the_person_is_in_any_file(
    stack: Stack, person: Person, erased: dict[str, Any]
) -> None:
    assert files_with(stack.home, [*NEEDLES, person.key, person.wrapped]) == {}


def test_the_certificate_names_the_event_that_stands_in_the_log(
    stack: Stack, person: Person, erased: dict[str, Any]
) -> None:
    event = records(stack)[int(erased["position"]) - 1]
    assert (event.topic, event.aggregate) == ("imewe.account:Erased", person.account_id)
    assert (event.hash, event.previous_hash) == (erased["hash"], erased["previousHash"])
    assert event.headers["Imewe-Event"] == erased["eventId"]
    assert event.headers["Imewe-Actor"] == "commands"
    assert erased["destroyed"] == ["data key", "mail index", "password hash", "kept answers"]
    assert erased["keyId"].startswith(person.account_id)
    assert erased["algorithm"] == "A256GCM"
    for told in (erased["subjectId"], erased["keyFingerprint"], erased["hash"]):
        assert told in erased["text"]


def test_the_whole_log_verifies_as_before(stack: Stack, erased: dict[str, Any]) -> None:
    found = records(stack)
    assert verify(found) is None
    assert int(erased["position"]) <= len(found)


def test_readers_are_told_that_the_texts_are_erased_and_other_people_read_as_before(
    stack: Stack, person: Person, bystander: str, erased: dict[str, Any]
) -> None:
    with stack.client() as admin:
        found = seen(admin, person, at=erased["position"])
    people = {edge["node"]["id"]: edge["node"] for edge in found["accounts"]["edges"]}
    gone = people[person.account_id]
    assert (gone["name"], gone["mail"], gone["closed"]) == (None, None, True)
    assert gone["erasedAt"]
    assert people[bystander]["name"] == "Ben Bystander"
    assert found["job"]["cancelReason"] == "[erased]"
    assert "Cancel requested: [erased]" in [each["words"] for each in found["job"]["timeline"]]
    assert found["node"]["holdReason"] == "[erased]"
    entries = [entry["reason"] for lot in found["node"]["lots"] for entry in lot["entries"]]
    assert "[erased]" in entries


def test_nobody_acts_under_the_account_again(
    stack: Stack, person: Person, erased: dict[str, Any]
) -> None:
    with pytest.raises(UnauthenticatedError):
        person.client.command(PAUSE, {"id": person.node_id, "reason": "still here"})
    with pytest.raises(UnauthenticatedError):
        Client.signed_in(stack.url, mail=MAIL, password=PASSWORD)
    until = time.monotonic() + 30
    while not refused(person.client):
        assert time.monotonic() < until, "the token still reads"
        time.sleep(0.05)


def test_the_address_can_be_used_by_somebody_else(stack: Stack, erased: dict[str, Any]) -> None:
    with stack.client() as admin:
        another = opened(admin, MAIL, "Somebody Else")
    assert another != erased["subjectId"]
    with Client.signed_in(stack.url, mail=MAIL, password=PASSWORD):
        pass
    with stack.client() as admin:
        admin.command(ERASE, {"id": another, "reason": ""})


def test_saying_it_again_gives_the_same_certificate_and_no_event(
    stack: Stack, person: Person, erased: dict[str, Any]
) -> None:
    wanted = {"id": person.account_id, "reason": "again", "command": "twice"}
    before = len(records(stack))
    with stack.client() as admin:
        again = [admin.command(ERASE, wanted)["certificate"] for _ in range(2)]
    assert again == [erased, erased]
    assert len(records(stack)) == before


def test_an_auditor_reads_the_certificate_and_a_designer_does_not(
    stack: Stack, person: Person, erased: dict[str, Any]
) -> None:
    place = erased["organisationId"]
    query = f"query($id: ID!) {{ erasureCertificate(subjectId: $id) {CERTIFICATE} }}"
    with Client(stack.url, stack.token("auditor", place=place)) as auditor:
        found = auditor.execute(query, {"id": person.account_id})
    assert found["erasureCertificate"] == erased
    with (
        Client(stack.url, stack.token("designer", place=place)) as designer,
        pytest.raises(ImeweError) as refused,
    ):
        designer.execute(query, {"id": person.account_id})
    assert refused.value.code == "FORBIDDEN"


def test_the_command_line_writes_the_certificate(
    stack: Stack, erased: dict[str, Any], tmp_path: Path
) -> None:
    for name in ("anna.json", "anna.txt"):
        words = ("certificate", erased["subjectId"], "--output", str(tmp_path / name))
        assert stack.run("subjects", *words).exit_code == 0
    in_json = json.loads((tmp_path / "anna.json").read_text())
    assert in_json == {name: value for name, value in erased.items() if name != "text"}
    assert (tmp_path / "anna.txt").read_text() == erased["text"]


def test_an_export_holds_what_is_known_and_nothing_of_who_was_erased(
    stack: Stack, person: Person, bystander: str, erased: dict[str, Any], tmp_path: Path
) -> None:
    for account_id in (person.account_id, bystander):
        words = ("export", account_id, "--output", str(tmp_path / f"{account_id}.json"))
        exported = stack.run("subjects", *words, "--json")
        assert exported.exit_code == 0
        assert json.loads(exported.stdout)["jobs"] == int(account_id == person.account_id)
    assert files_with(tmp_path, NEEDLES) == {}
    gone = json.loads((tmp_path / f"{person.account_id}.json").read_text())
    assert gone["account"]["name"] is None
    assert [job["id"] for job in gone["jobs"]] == [person.job_id]
    assert {each["address"] for each in gone["auditEntries"]} >= {"erased"}
    ben = json.loads((tmp_path / f"{bystander}.json").read_text())
    assert (ben["account"]["name"], ben["account"]["mail"]) == ("Ben Bystander", "ben@example.org")
    assert stack.run("subjects", "export", person.job_id, "--output", "x").exit_code == 1


def test_a_later_backup_holds_nothing_of_the_person(
    stack: Stack, person: Person, bystander: str, erased: dict[str, Any], tmp_path: Path
) -> None:
    folder, keys = tmp_path / "backup", tmp_path / "keys"
    words = ["backup", str(folder), "--keys", str(keys), "--home", str(stack.home)]
    command = [sys.executable, "-P", "-m", "ops.cli.main", *words]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, timeout=120)
    _, kept = keys_of(stack, bystander)
    assert set(files_with(keys, [kept])) == {kept}
    assert files_with(tmp_path, [*NEEDLES, person.key, person.wrapped]) == {}


def test_the_command_line_rotates_the_key_encryption_key(
    stack: Stack, bystander: str, erased: dict[str, Any]
) -> None:
    before = (stack.home / "kek").read_bytes()
    old = Keyring(stack.home).current.id
    result = stack.run("subjects", "rotate-kek", "--json")
    assert result.exit_code == 0, result.output
    kek = json.loads(result.stdout.splitlines()[-1])
    assert (kek["rotating"], kek["left"]) == (False, 0)
    assert Keyring(stack.home).current.id == kek["id"] != old
    assert files_with(stack.home, [before]) == {}
    until = time.monotonic() + 30
    while rotation_steps(stack) != ["done", "begun"]:
        assert time.monotonic() < until, "the trail does not tell of the rotation"
        time.sleep(0.05)
    listed = json.loads(stack.run("subjects", "list", "--json").stdout)
    assert {each["id"]: each["name"] for each in listed}[bystander] == "Ben Bystander"
    with Client.signed_in(stack.url, mail="ben@example.org", password=PASSWORD):
        pass


def test_a_rebuild_from_the_log_gives_the_very_rows(
    stack: Stack, erased: dict[str, Any], database_url: str
) -> None:
    end = len(records(stack))
    client = LogClient(address(stack.settings, "log_processes"))
    with (
        contextlib.closing(client),
        contextlib.closing(LogReader(client)) as source,
        migrated(database_url) as fresh,
        psycopg.connect(conninfo(stack.settings), autocommit=True) as live,
        running(source, database_url),
    ):
        until_all_at(fresh, end)
        until_all_at(live, end)
        for projection in CATALOGUE:
            rebuilt = b"".join(canonical(fresh, projection))
            assert rebuilt == b"".join(canonical(live, projection)), projection.name


def rotation_steps(stack: Stack) -> list[str]:
    found = json.loads(stack.run("users", "trail", "--json").stdout)
    return [each["outcome"] for each in found if each["action"] == "commands.rotate_kek"]


def opened(admin: Client, mail: str, name: str) -> str:
    wanted = {"mail": mail, "name": name, "password": PASSWORD, "role": "DESIGNER"}
    return str(admin.command(OPEN, wanted)["accountId"])


def keys_of(stack: Stack, account_id: str) -> tuple[bytes, bytes]:
    """The person's key, which stands in no file, and the wrapped one, which does."""
    with contextlib.closing(LogClient(address(stack.settings, "log_commands"))) as client:
        bucket, keyring = SecretBucket(client), Keyring(stack.home)
        wrapped = bucket.get(f"key.{keyring.current.id}.{account_id}")
        assert wrapped is not None
        assert Secrets(bucket, keyring).key_of(account_id) is not None
    name = f"key.{keyring.current.id}.{account_id}".encode()
    return keyring.current.cipher.decrypt(wrapped[4:16], wrapped[16:], name), wrapped[16:]


def seen(client: Client, person: Person, *, at: str) -> dict[str, Any]:
    asked = {"job": person.job_id, "node": person.node_id, "at": at}
    return client.execute(SEEN, asked)


def assert_readable(stack: Stack, person: Person) -> None:
    """Before: the notes are read by who may, and lie sealed."""
    with stack.client() as admin:
        found = seen(admin, person, at=person.position)
    assert found["job"]["cancelReason"] == NOTES["cancel"]
    assert f"Cancel requested: {NOTES['cancel']}" in [w["words"] for w in found["job"]["timeline"]]
    assert found["node"]["holdReason"] == NOTES["hold"]
    entries = [entry["reason"] for lot in found["node"]["lots"] for entry in lot["entries"]]
    assert NOTES["correct"] in entries
    people = {edge["node"]["id"]: edge["node"]["name"] for edge in found["accounts"]["edges"]}
    assert people[person.account_id] == NAME


def assert_told_to_the_person(stack: Stack, person: Person) -> None:
    """All of it, in the clear: profile, orders, events with notes, log-ins with addresses."""
    asked = {"id": person.account_id, "at": None}
    told = {
        name: [
            edge["node"]
            for edge in person.client.execute(query, asked)["subjectExport"][name]["edges"]
        ]
        for name, query in PARTS.items()
    }
    account = person.client.execute(PROFILE, {"id": person.account_id})["subjectExport"]["account"]
    assert (account["name"], account["mail"]) == (NAME, MAIL)
    assert {grant["role"] for grant in account["grants"]} == {"DESIGNER", "OPERATOR"}
    assert [(job["id"], job["cancelReason"]) for job in told["jobs"]] == [
        (person.job_id, NOTES["cancel"])
    ]
    reasons = {event["body"].get("reason") for event in told["events"]}
    assert reasons >= set(NOTES.values())
    logins = {(each["action"], each["outcome"], each["address"]) for each in told["auditEntries"]}
    assert logins >= {("login", "OK", "127.0.0.1"), ("login", "UNAUTHENTICATED", "127.0.0.1")}
    nobody = Client(stack.url, stack.token("operator", place=account["organisationId"]))
    with nobody as other:
        assert other.execute(PROFILE, {"id": person.account_id})["subjectExport"] is None


def refused(client: Client) -> bool:
    try:
        client.execute("{ me { name } }")
    except UnauthenticatedError:
        return True
    return False


def records(stack: Stack) -> list[Record]:
    client = LogClient(address(stack.settings, "log_commands"))
    with contextlib.closing(client), contextlib.closing(LogReader(client)) as reader:
        found: list[Record] = []
        while more := reader.read_raw(len(found), 500):
            found += more
        return found


def rows(stack: Stack) -> dict[str, bytes]:
    """Every live table that no heartbeat touches, as COPY text."""
    wanted = [each for each in CATALOGUE if each.name in {"accounts", "jobs", "inventory"}]
    with psycopg.connect(conninfo(stack.settings), autocommit=True) as connection:
        return {each.name: b"".join(canonical(connection, each)) for each in wanted}


def same(before: dict[str, bytes], after: dict[str, bytes], *, without: str) -> bool:
    """Whether all lines that do not tell of the account itself are the same."""
    return before.keys() == after.keys() and all(
        _lines(before[name], without) == _lines(after[name], without) for name in before
    )


def _lines(text: bytes, without: str) -> list[bytes]:
    return [line for line in text.splitlines() if not line.startswith(without.encode())]
