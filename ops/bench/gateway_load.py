"""The gateway under an open-loop load: submissions and status queries."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from ops.bench.open_loop import LoadOutcome, open_loop
from ops.bench.result import BenchResult, Figure, percentile
from ops.cli.client import Client
from ops.demo.play import SUBMIT
from ops.demo.scene import MACHINES, MODELS
from ops.demo.shop import register
from ops.demo.system import Running, running
from ops.settings import Settings

SUBMISSIONS_PER_S = 50.0
QUERIES_PER_S = 200.0
SECONDS = 60.0
WARM_UP_S = 3.0
SUBMIT_P95_MS = 25.0
STATUS_P95_MS = 10.0
STATUS = """query($id: ID!) { job(id: $id) {
  id name status priority submissionTimestamp position
  parts { id name productionStatus quantity passed } } }"""


def run(folder: Path) -> list[BenchResult]:
    """Both loads on a fresh system of their own. The machines are registered, never connected,
    so that every job queues."""
    with running(Settings.from_environment(folder / "home")) as system:
        return _measure(system)


def _measure(system: Running) -> list[BenchResult]:
    with Client(system.url) as stranger:
        token = stranger.log_in(mail=system.mail, password=system.password)["token"]
    with Client(system.url, token) as portal:
        register(portal, MACHINES[1])
        digest = str(portal.upload(MODELS / "hex_knob.gcode")["digest"])
        part = {"name": "knob", "artifactDigest": digest, "materialType": "PLA", "quantity": 1}
        order = {"name": "bench", "parts": [part], "priority": 5}
        job_id = str(portal.command(SUBMIT, {"input": order})["jobId"])
        status, submit = asyncio.run(_loads(system.url, token, order, job_id))
    return [
        _result(
            "status query",
            f"One job with its parts over GraphQL, {QUERIES_PER_S:.0f}/s for {SECONDS:.0f} s,"
            " open loop.",
            status,
            STATUS_P95_MS,
        ),
        _result(
            "job submission",
            f"submitJob acknowledged after the durable append, {SUBMISSIONS_PER_S:.0f}/s for"
            f" {SECONDS:.0f} s, open loop, jobs queueing.",
            submit,
            SUBMIT_P95_MS,
        ),
    ]


async def _loads(
    url: str, token: str, order: dict[str, Any], job_id: str
) -> tuple[LoadOutcome, LoadOutcome]:
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as http:

        async def ask(document: str, variables: dict[str, Any]) -> None:
            body = {"query": document, "variables": variables}
            answer = (await http.post("/graphql", json=body)).raise_for_status().json()
            if "errors" in answer:
                raise RuntimeError(str(answer["errors"]))
            payload = next(iter(answer["data"].values()))
            if payload is None or payload.get("problems"):
                raise RuntimeError(str(payload))

        async def look(_: int) -> None:
            await ask(STATUS, {"id": job_id})

        async def submit(number: int) -> None:
            named = {**order, "name": f"bench {number} {uuid4()}"}
            await ask(SUBMIT, {"input": named})

        await open_loop(look, per_second=QUERIES_PER_S, seconds=WARM_UP_S)
        status = await open_loop(look, per_second=QUERIES_PER_S, seconds=SECONDS)
        await open_loop(submit, per_second=SUBMISSIONS_PER_S, seconds=WARM_UP_S)
        return status, await open_loop(submit, per_second=SUBMISSIONS_PER_S, seconds=SECONDS)


def _result(name: str, what: str, outcome: LoadOutcome, limit_ms: float) -> BenchResult:
    p95 = percentile(outcome.latencies_ms, 0.95)
    shares = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    figures = [
        Figure(label=label, unit="ms", runs=[percentile(outcome.latencies_ms, share)])
        for share, label in shares
    ]
    answered = f"{len(outcome.latencies_ms)} answered, {len(outcome.failures)} failed"
    return BenchResult(
        name=name,
        what=what,
        figures=figures,
        goal=f"p95 under {limit_ms:.0f} ms",
        met=p95 < limit_ms and not outcome.failures,
        notes=[answered, *sorted(set(outcome.failures))[:3]],
    )
