"""The demo itself: order the models, watch the shop make them, report."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ops.cli.client import Client
from ops.demo.report import collect
from ops.demo.scene import Order, orders
from ops.demo.shop import DemoError

LIMIT_S = 900.0
LOOK_EVERY_S = 0.5

SUBMIT = """mutation($input: SubmitJobInput!) { submitJob(input: $input) {
  jobId position problems { code message field remedy } } }"""
STATE = """query($id: ID!) { job(id: $id) { status parts { name productionStatus passed quantity
  builds { nodeId status percent } } } }"""
ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "REJECTED"})

Watcher = Callable[[dict[str, Any]], None]


def play(
    portal: Client, models: list[Path], names: dict[str, str], watcher: Watcher
) -> dict[str, Any]:
    """Order the models (or ours), wait for the end, and return the report.

    ``watcher`` sees the job's state twice a second. Raises ``DemoError`` when it takes longer
    than a quarter of an hour.
    """
    job_id = _submit(portal, orders(models, sliced=shutil.which("prusa-slicer") is not None))
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until:
        state = portal.execute(STATE, {"id": job_id})["job"]
        if state is not None:
            watcher(state)
            if state["status"] in ENDED:
                return collect(portal, job_id, names)
        time.sleep(LOOK_EVERY_S)
    raise DemoError(f"job {job_id} did not end within {LIMIT_S:.0f} s")


def _submit(portal: Client, lines: list[Order]) -> str:
    parts = [
        {
            "name": line.path.stem,
            "artifactDigest": portal.upload(line.path)["digest"],
            "materialType": line.material,
            "quantity": line.quantity,
        }
        for line in lines
    ]
    order = {"name": "Imewe demo", "parts": parts, "priority": 7}
    return str(portal.command(SUBMIT, {"input": order})["jobId"])
