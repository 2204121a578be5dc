"""Following an order on the terminal: by subscription, or by asking when that is not to be had."""

import json
import time
from collections.abc import Iterator
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from domain.shared.errors import NotFoundError
from ops.cli.client import Client, SubscriptionLostError

ASK_EVERY_S = 1.0
ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "REJECTED"})
FIELDS = """id name status progress position
  parts { name productionStatus passed quantity reasons { message }
    waitingFor { message }
    builds { nodeId status percent } }"""
WATCH = f"subscription($id: ID!) {{ jobUpdated(jobId: $id) {{ {FIELDS} }} }}"
ASK = f"query($id: ID!) {{ job(id: $id) {{ {FIELDS} }} }}"


def watch_job(client: Client, job_id: str, *, as_json: bool) -> str:
    """Show an order until it has ended; its last state. Raises ``NotFoundError``."""
    job: dict[str, Any] = {}
    if as_json:
        for job in states(client, job_id):
            typer.echo(json.dumps(job))
        return str(job["status"])
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console()) as progress:
        tasks: dict[int, Any] = {}
        for job in states(client, job_id):
            _draw(progress, tasks, job)
    typer.echo(f"{job['name']}: {job['status']}")
    for part in job["parts"]:
        for reason in part["reasons"]:
            typer.echo(f"  {part['name']}: {reason['message']}")
    return str(job["status"])


def states(client: Client, job_id: str) -> Iterator[dict[str, Any]]:
    """The order now and whenever it is different, until it has ended.

    A socket that is refused or lost is replaced by asking once a second.
    """
    try:
        for data in client.subscribe(WATCH, {"id": job_id}):
            yield data["jobUpdated"]
            if data["jobUpdated"]["status"] in ENDED:
                return
    except SubscriptionLostError:
        yield from _asked(client, job_id)


def _asked(client: Client, job_id: str) -> Iterator[dict[str, Any]]:
    last: dict[str, Any] | None = None
    while last is None or last["status"] not in ENDED:
        job = client.execute(ASK, {"id": job_id})["job"]
        if job is None:
            raise NotFoundError(f"there is no order {job_id}")
        if job != last:
            yield job
        last = job
        time.sleep(ASK_EVERY_S)


def _draw(progress: Progress, tasks: dict[int, Any], job: dict[str, Any]) -> None:
    for line, part in enumerate(job["parts"]):
        if line not in tasks:
            tasks[line] = progress.add_task(part["name"], total=100 * part["quantity"])
        running = sum(
            b["percent"] for b in part["builds"] if b["status"] in ("ACCEPTED", "RUNNING", "PAUSED")
        )
        made = min(100 * part["passed"] + running, 100 * part["quantity"])
        words = f"{part['name']} {part['productionStatus']}"
        if part["waitingFor"]:
            words += ": " + " ".join(reason["message"] for reason in part["waitingFor"])
        progress.update(tasks[line], completed=made, description=words)
