"""Emergency stops of a whole system: from the portal's request, and from the bridge's own computer,
to the machine's own answer, while it homes or heats, with telemetry flooding.

Services and virtual machines are processes of their own; the machines are on ptys, at their real
speed. Each printer reports its temperatures 500 times a second meanwhile.
"""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from device_bridge.safety.desk import ring
from device_bridge.virtual.shop import PLANS, read_plans, write_plans
from ops.bench.result import BenchResult, Figure, percentile
from ops.cli.client import Client
from ops.demo.play import SUBMIT
from ops.demo.scene import MILL, PRINTER, Machine
from ops.demo.shop import CLEAR, DemoError, furnish
from ops.demo.system import Running, running
from ops.settings import Settings

STOPS = 51
MACHINE_MS = 100.0
PORTAL_MS = 250.0
BEGINS_S = 90.0
FLOOD = [{"kind": "flood", "at_line": 3, "times": 1_000_000}]
TO_HOME = "G28\nM104 S200\nM109 S200\nG1 X10 Y10 Z1 E1 F600\nM104 S0\n"
TO_HEAT = "M104 S250\nM109 S250\nG1 X10 Y10 Z1 E1 F600\nM104 S0\n"
TO_MILL = "G21 G90\nM3 S800\n" + "G1 X90 F200\nG1 X0\n" * 30 + "M5\nM30\n"
SHOP = (
    Machine(
        name="homing",
        dialect="marlin",
        profile={**PRINTER, "materials": ["PLA"]},
        stock=(("PLA", 1000, 1.24),),
        faults=FLOOD,
    ),
    Machine(
        name="heating",
        dialect="marlin",
        profile={**PRINTER, "materials": ["PETG"]},
        stock=(("PETG", 1000, 1.27),),
        faults=FLOOD,
    ),
    Machine(name="milling", dialect="grbl", profile=MILL, stock=(("PLYWOOD", 20_000, 0.68),)),
)
PROGRAMS = {
    "homing": ("PLA", TO_HOME),
    "heating": ("PETG", TO_HEAT),
    "milling": ("PLYWOOD", TO_MILL),
}
LOOK = "query($id: ID!) { node(id: $id) { execution stopped run { percent } } }"
STOP = """mutation($id: ID!) { emergencyStop(nodeId: $id) { receipt { confirmed latencyMs
  roundTripMs } problems { code message field remedy } } }"""
UNLATCH = """mutation($id: ID!) { clearEmergencyStop(nodeId: $id) {
  position problems { code message field remedy } } }"""


@dataclass(slots=True)
class Measured:
    """Milliseconds of every stop. ``silent``: stops without the machine's confirmation."""

    machine: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in PROGRAMS})
    portal: list[float] = field(default_factory=list)
    local: list[float] = field(default_factory=list)
    silent: int = 0


def run(folder: Path, *, stops: int = STOPS) -> list[BenchResult]:
    """Half of the stops by GraphQL, half by the bell of the bridge; each on a machine at work."""
    with running(Settings.from_environment(folder / "home")) as system:
        with Client(system.url) as stranger:
            token = stranger.log_in(mail=system.mail, password=system.password)["token"]
        with Client(system.url, token) as portal:
            nodes = _opened(system, portal)
            measured = _measure(system, portal, nodes, folder, stops)
    return _results(measured)


def _opened(system: Running, portal: Client) -> dict[str, str]:
    """The shop's machines, by name, at real speed."""
    names = furnish(portal, system.home, SHOP)
    path = system.home / PLANS
    write_plans(path, [replace(plan, speed=1.0) for plan in read_plans(path)])
    system.open_shop()
    return {name: node for node, name in names.items()}


def _measure(
    system: Running, portal: Client, nodes: dict[str, str], folder: Path, stops: int
) -> Measured:
    measured = Measured()
    dice = random.Random(4)
    digests = {name: _stored(portal, folder, name) for name in PROGRAMS}
    for number, name in zip(range(stops), _in_turn(), strict=False):
        _at_work(portal, nodes[name], name, digests[name])
        time.sleep(dice.uniform(0.2, 1.2))
        if number % 2:
            _by_bell(system, nodes[name], name, measured)
        else:
            _by_portal(portal, nodes[name], name, measured)
        _unlatched(portal, nodes[name])
        portal.command(CLEAR, {"nodeId": nodes[name]})
    return measured


def _in_turn() -> Iterator[str]:
    while True:
        yield from PROGRAMS


def _stored(portal: Client, folder: Path, name: str) -> str:
    path = folder / f"{name}.gcode"
    path.write_text(PROGRAMS[name][1])
    return str(portal.upload(path)["digest"])


def _at_work(portal: Client, node: str, name: str, digest: str) -> None:
    """Order one more part, and wait until the machine is blocked by its program."""
    part = {"name": name, "artifactDigest": digest, "materialType": PROGRAMS[name][0]}
    order = {"name": f"bench {name}", "parts": [{**part, "quantity": 1}], "priority": 5}
    portal.command(SUBMIT, {"input": order})
    until = time.monotonic() + BEGINS_S
    while time.monotonic() < until:
        seen: dict[str, Any] = portal.execute(LOOK, {"id": node})["node"]
        if seen["execution"] == "ACTIVE" and not seen["stopped"] and seen["run"]:
            return
        time.sleep(0.1)
    raise DemoError(f"{name} did not begin within {BEGINS_S:.0f} s")


def _by_portal(portal: Client, node: str, name: str, measured: Measured) -> None:
    began = time.perf_counter()
    receipt = portal.command(STOP, {"id": node})["receipt"]
    measured.portal.append((time.perf_counter() - began) * 1000)
    measured.machine[name].append(float(receipt["latencyMs"]))
    measured.silent += not receipt["confirmed"]


def _by_bell(system: Running, node: str, name: str, measured: Measured) -> None:
    began = time.perf_counter()
    told = ring(system.home / "bridge", node, by="bench")
    measured.local.append((time.perf_counter() - began) * 1000)
    if not told or not told[0].get("ok"):
        raise DemoError(f"the bridge did not answer its bell: {told}")
    measured.machine[name].append(float(told[0]["latency_ms"]))
    measured.silent += not told[0]["confirmed"]


def _unlatched(portal: Client, node: str) -> None:
    """The record follows the deed: the log may not have heard of the stop yet."""
    until = time.monotonic() + BEGINS_S
    while not portal.execute(LOOK, {"id": node})["node"]["stopped"]:
        if time.monotonic() > until:
            raise DemoError("the stop was not recorded")
        time.sleep(0.05)
    portal.command(UNLATCH, {"id": node})


def _results(measured: Measured) -> list[BenchResult]:
    machine = [value for each in measured.machine.values() for value in each]
    told = f"{measured.silent} of {len(machine)} stops were not confirmed by the machine"
    return [
        BenchResult(
            name="estop: bridge to machine",
            what="From the bridge's order to the machine's own answer, while it homes (G28), heats"
            " (M109) or mills, with 500 temperature reports a second of each printer.",
            figures=[
                *_spread("all", machine),
                *(
                    Figure(label=name, unit="ms", runs=runs)
                    for name, runs in measured.machine.items()
                    if runs
                ),
            ],
            goal=f"at most {MACHINE_MS:.0f} ms",
            met=max(machine) <= MACHINE_MS and not measured.silent,
            notes=(told,),
        ),
        BenchResult(
            name="estop: portal to machine and back",
            what="emergencyStop over GraphQL until its answer; beside it the bell of the bridge's"
            " own computer, until all that it tells is told.",
            figures=[*_spread("GraphQL", measured.portal), *_spread("bell", measured.local)],
            goal=f"at most {PORTAL_MS:.0f} ms",
            met=max([*measured.portal, *measured.local]) <= PORTAL_MS,
        ),
    ]


def _spread(label: str, runs: list[float]) -> list[Figure]:
    if not runs:
        return []
    p95 = percentile(runs, 0.95)
    return [
        Figure(label=label, unit="ms", runs=runs),
        Figure(label=f"{label}, p95", unit="ms", runs=[p95]),
        Figure(label=f"{label}, longest", unit="ms", runs=[max(runs)]),
    ]
