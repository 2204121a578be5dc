"""What the demo made: per part the machine, the time, the material, the energy, every event."""

from typing import Any

from rich.console import Console
from rich.table import Table

from ops.cli.client import Client
from ops.demo.shop import DemoError

JOB = """query($id: ID!) { job(id: $id) {
  id name status position submissionTimestamp completionTimestamp
  parts { id name materialType productionStatus quantity passed reasons { code message remedy }
    failure estimatedBy
    pieces { piece status reason buildId }
    builds { id nodeId piece attempt status durationMs energyJ energySource materialMg
      materialMm3 plannedDurationMs plannedMaterialMg reason nativeText } }
  timeline(first: 1000) { position at what words partId buildId nodeId } } }"""

LEDGER = """query($at: Position!) { inventory(first: 100, atLeast: $at) { edges { node {
  entries(first: 500) { what quantityMg buildId } } } } }"""
BOOKED = frozenset({"Inventory.Consumed", "Inventory.Wasted"})


def collect(portal: Client, job_id: str, names: dict[str, str]) -> dict[str, Any]:
    """The report as plain values. ``names``: machine names by node id."""
    job = portal.execute(JOB, {"id": job_id})["job"]
    if job is None:
        raise DemoError(f"job {job_id} is not there")
    booked = _booked(portal, job["position"])
    return {
        "job_id": job["id"],
        "name": job["name"],
        "status": job["status"],
        "submitted_at": job["submissionTimestamp"],
        "ended_at": job["completionTimestamp"],
        "parts": [_part(part, names, booked) for part in job["parts"]],
        "events": job["timeline"],
        "simulated": "all machines and energy figures are virtual",
    }


def is_complete(report: dict[str, Any]) -> bool:
    """Whether every part was made."""
    return bool(report["parts"]) and all(p["status"] == "COMPLETED" for p in report["parts"])


def show(report: dict[str, Any], console: Console) -> None:
    """The report for people."""
    table = Table(title=f"{report['name']}: {report['status']}")
    for heading in ("part", "state", "machine", "build", "time", "material", "energy (virtual)"):
        table.add_column(heading, overflow="fold")
    for part in report["parts"]:
        for build in part["builds"] or [{}]:
            table.add_row(part["name"], part["status"], *_cells(build))
    console.print(table)
    for part in report["parts"]:
        for reason in part["reasons"]:
            console.print(f"{part['name']}: {reason['message']} {reason['remedy']}")
    console.print(f"{len(report['events'])} events tell this story; {report['simulated']}.")


def as_markdown(report: dict[str, Any]) -> str:
    """The report as it is committed."""
    rows = [
        f"| {part['name']} | {part['status']} | {' | '.join(_cells(build))} |"
        for part in report["parts"]
        for build in part["builds"]
    ]
    events = [
        f"| {e['position']} | {e['at']} | {e['what']} | {e['words']} |" for e in report["events"]
    ]
    return "\n".join(
        [
            f"# {report['name']}: {report['status']}",
            "",
            f"Made by `imewe demo --once`; {report['simulated']}.",
            "",
            "| part | state | machine | build | time | material | energy (virtual) |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            "## Every event",
            "",
            "| position | at | what | words |",
            "|---|---|---|---|",
            *events,
            "",
        ]
    )


def _booked(portal: Client, position: str) -> dict[str, int]:
    """What the ledger says that each build used, mg; a job ends after its bookings."""
    found = portal.execute(LEDGER, {"at": position})
    lots = [edge["node"] for edge in found["inventory"]["edges"]]
    entries = [entry for lot in lots for entry in lot["entries"]]
    return {e["buildId"]: e["quantityMg"] for e in entries if e["what"] in BOOKED}


def _part(part: dict[str, Any], names: dict[str, str], booked: dict[str, int]) -> dict[str, Any]:
    return {
        "part_id": part["id"],
        "name": part["name"],
        "status": part["productionStatus"],
        "material": part["materialType"],
        "quantity": part["quantity"],
        "passed": part["passed"],
        "estimated_by": part["estimatedBy"],
        "reasons": part["reasons"],
        "failure": part["failure"],
        "pieces": part["pieces"],
        "builds": [
            {
                **build,
                "machine": names.get(build["nodeId"], build["nodeId"]),
                "bookedMg": booked.get(build["id"], 0),
            }
            for build in part["builds"]
        ],
    }


def _cells(build: dict[str, Any]) -> list[str]:
    if not build:
        return ["", "", "", "", ""]
    told = f"{build['status']}: {build['reason']}" if build["reason"] else build["status"]
    return [
        build["machine"],
        told,
        f"{build['durationMs'] / 1000:.1f} s",
        f"{build['bookedMg'] / 1000:.2f} g",
        f"{build['energyJ'] / 3600:.2f} Wh",
    ]
