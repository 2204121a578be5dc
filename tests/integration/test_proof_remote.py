"""Proof files for auditors far away, and the check of a log that is written meanwhile."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ops.notary.verify_imewe import verify
from tests.gateway_stack import GCODE, Stack, home_of, running_stack, submitted

PATIENCE_S = 60.0
SIGNED = "{ auditStatus { phase sizeSigned unsignedTail } }"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("IMEWE_HEAD_SECONDS", "1")
        for stack in running_stack():
            assert stack.run("login").exit_code == 0
            yield stack


@pytest.fixture(scope="module")
def job(stack: Stack) -> str:
    """A job of which everything is signed."""
    with stack.client() as client:
        digest = client.upload(GCODE)["digest"]
        order = submitted(client, digest)
        until = time.monotonic() + PATIENCE_S
        while True:
            signed = client.execute(SIGNED)["auditStatus"]
            if int(signed["sizeSigned"]) >= int(order["position"]):
                return str(order["jobId"])
            assert time.monotonic() < until, signed
            time.sleep(0.1)


def get(stack: Stack, token: str, **query: str) -> httpx.Response:
    return httpx.get(
        f"{stack.url}/v1/audit/export",
        params=query,
        headers={"Authorization": f"Bearer {token}"} if token else {},
        timeout=PATIENCE_S,
        trust_env=False,
    )


def place_of(stack: Stack) -> str:
    with stack.client() as client:
        return home_of(client)


def test_an_auditor_gets_a_job_by_http_and_verifies_it(
    stack: Stack, job: str, tmp_path: Path
) -> None:
    answer = get(stack, stack.token("auditor", place=place_of(stack)), job=job)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    path = tmp_path / "job.jsonl"
    path.write_bytes(answer.content)
    found = verify(path)
    assert found["what"] == f"job {job}"
    assert found["signed"] >= 1


def test_the_command_line_exports_and_verifies(stack: Stack, job: str, tmp_path: Path) -> None:
    output = tmp_path / "log.jsonl.gz"
    for more in ([], ["--from", "3"], ["--job", job]):
        output.unlink(missing_ok=True)
        done = stack.run("audit", "export", "--output", str(output), *more)
        assert done.exit_code == 0, done.output
        assert verify(output)["verified"]
        done = stack.run("audit", "verify", str(output))
        assert (done.exit_code, done.stdout.startswith("VERIFIED: ")) == (0, True)
    done = stack.run("audit", "export", "--output", str(output))
    assert (done.exit_code, "is there already" in done.output) == (1, True)


def test_what_is_exported_is_said_before_it_is_written(
    stack: Stack, job: str, tmp_path: Path
) -> None:
    whole, one = tmp_path / "log.jsonl", tmp_path / "job.jsonl"
    done = stack.run("audit", "export", "--output", str(whole), "--json")
    told = json.loads(done.stdout)
    assert (told["kind"], told["from"], told["file"]) == ("range", 1, str(whole))
    assert told["events"] == told["to"] > 3
    assert told["bytes"] == whole.stat().st_size
    assert f"exporting {told['to']:,} events: 1 to {told['to']:,}" in done.stderr
    done = stack.run("audit", "export", "--job", job, "--output", str(one))
    assert f"exporting job {job}" in done.stderr
    assert f"{one.stat().st_size:,} bytes" in done.stdout


def lines_of(stack: Stack, action: str) -> list[tuple[str, str, str]]:
    """Outcome, what it was about and the reason, the oldest first."""
    query = "{ auditTrail(first: 100) { edges { node { actor action outcome resource reason } } } }"
    with stack.client() as admin:
        nodes = [each["node"] for each in admin.execute(query)["auditTrail"]["edges"]][::-1]
    found = [each for each in nodes if each["action"] == action]
    assert all(each["actor"].startswith("user/") for each in found)
    return [(each["outcome"], each["resource"], each["reason"]) for each in found]


def test_an_export_of_a_proof_stands_in_the_audit_trail(
    stack: Stack, job: str, tmp_path: Path
) -> None:
    before = len(lines_of(stack, "notary.export"))
    output = tmp_path / "log.jsonl"
    assert stack.run("audit", "export", "--job", job, "--output", str(output)).exit_code == 0
    size = output.stat().st_size
    auditor = stack.token("auditor", place=place_of(stack))
    assert get(stack, auditor, **{"from": "1000000"}).status_code == 422
    begun, done, begun_again, failed = lines_of(stack, "notary.export")[before:]
    assert (begun, done) == (
        ("begun", f"job/{job}", ""),
        ("done", f"job/{job}", f"{size} bytes"),
    )
    assert begun_again == ("begun", "events/1000000-", "")
    assert failed[:2] == ("failed", "events/1000000-")
    assert "nothing from 1000000" in failed[2]


def test_an_export_of_events_stands_in_the_audit_trail(stack: Stack, tmp_path: Path) -> None:
    words = ("--to", "4", "--output", str(tmp_path / "events.jsonl"))
    assert stack.run("events", "export", *words).exit_code == 0
    assert lines_of(stack, "gateway.export") == [("done", "events/1-4", "")]


def test_who_does_not_audit_gets_nothing(stack: Stack, job: str) -> None:
    here = place_of(stack)
    elsewhere = "7d0b5f6c-9a52-5b8f-8d1c-2a776f1f3c2e"
    refused = get(stack, stack.token("operator", place=here), job=job)
    assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
    stranger = stack.token("auditor", place=elsewhere)
    assert get(stack, stranger, job=job).json()["code"] == "NOT_FOUND"
    refused = get(stack, stranger)
    assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
    assert "--job" in refused.json()["remedy"]
    assert get(stack, "", job=job).status_code == 401


def test_what_the_log_does_not_hold_is_refused_in_words(stack: Stack, job: str) -> None:
    auditor = stack.token("auditor", place=place_of(stack))
    answer = get(stack, auditor, **{"from": "1000000"})
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_INPUT")
    for name in ("from", "to"):
        assert get(stack, auditor, **{name: str(10**20)}).status_code == 422, "beyond any log"
    assert get(stack, auditor, job="no such job").status_code == 404
    both = get(stack, auditor, job=job, **{"from": "1"})
    assert both.status_code == 422


def test_a_log_is_verified_while_it_is_written(stack: Stack, job: str) -> None:
    done = stack.run("audit", "verify", "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["verified"]) == (0, True)
    assert found["signed"] >= 1
    assert stack.run("audit", "verify", "--key", "a.stranger+00000000+AQ==").exit_code == 1
    output = stack.home.parent / "x.jsonl"
    done = stack.run("audit", "export", "--offline", "--output", str(output))
    assert (done.exit_code, "in use" in done.output) == (3, True)


def test_the_verifier_is_shipped_as_it_is(stack: Stack) -> None:
    done = stack.run("audit", "verifier")
    assert done.exit_code == 0
    assert done.stdout.startswith('"""Checks an Imewe proof file')
    compile(done.stdout, "verify_imewe.py", "exec")
