"""`imewe bridge stop`: halt this computer's machines, with or without a core, or even a bridge."""

import getpass
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from device_bridge.machines import MachineConfig, read_machines
from device_bridge.safety.by_hand import stop_all_by_hand
from device_bridge.safety.desk import ALL, ring
from device_bridge.safety.latches import FOLDER, Latches
from domain.shared.errors import InvalidInputError, NotFoundError
from ops.cli.homes import Home
from ops.cli.reach import AsJson, show
from ops.clock import SystemClock
from ops.settings import Settings

UNCONFIRMED = 3
"""The exit code when a machine did not say that it halted."""


def stop(
    machine: Annotated[
        str | None, typer.Argument(help="Its name or node id, as in imewe bridge list.")
    ] = None,
    home: Home = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every machine here.")] = False,
    as_json: AsJson = False,
) -> None:
    """Emergency stop of the machines on this computer, now. No core and no login are needed.

    The bridge does it; when none runs, the ports are opened and told directly. The stop stays
    latched until a person clears it: imewe nodes clear-stop NAME.

    Example: imewe bridge stop --all
    """
    if (machine is None) != everything:
        raise InvalidInputError("name a machine, or say --all", field="machine")
    folder = Settings.from_environment(home).home
    machines = read_machines(folder / "machines.json")
    wanted = machines if everything else [_named(machine or "", machines)]
    stops = _stopped(folder, wanted, everything=everything)
    names = {each.node_id: each.name for each in machines}
    rows = [
        (names.get(each["node_id"], ""), _words(each), each.get("latency_ms", ""), _said(each))
        for each in stops
    ]
    show(stops, as_json=as_json, headings=("machine", "stop", "ms", "it says"), rows=rows)
    if not all(each.get("confirmed") for each in stops):
        raise typer.Exit(UNCONFIRMED)


def _stopped(
    folder: Path, wanted: list[MachineConfig], *, everything: bool
) -> list[dict[str, Any]]:
    """By the bridge that runs; machines that it does not hold, or all without one, by hand."""
    by = f"local/{getpass.getuser()}"
    node = ALL if everything else wanted[0].node_id
    answered = [each for each in ring(folder / "bridge", node, by=by) or [] if each.get("ok")]
    reached = {each["node_id"] for each in answered}
    left = [each for each in wanted if each.node_id not in reached]
    latches = Latches(folder / "bridge" / FOLDER, clock=SystemClock())
    receipts = stop_all_by_hand(left, latches, by=by)
    return answered + [
        {"ok": True, "node_id": each.node_id, **asdict(receipt), "by_hand": True}
        for each, receipt in zip(left, receipts, strict=True)
    ]


def _named(name: str, machines: list[MachineConfig]) -> MachineConfig:
    found = [each for each in machines if name in (each.name, each.node_id)]
    if len(found) != 1:
        raise NotFoundError(f"this computer has no machine {name}", field="machine")
    return found[0]


def _words(stop: dict[str, Any]) -> str:
    how = " by its port: no bridge answered" if stop.get("by_hand") else ""
    return f"{'confirmed' if stop.get('confirmed') else 'NOT CONFIRMED: go and look'}{how}"


def _said(stop: dict[str, Any]) -> str:
    return str(stop.get("native_text", ""))[:60]
