"""`imewe bridge safety`: what makes a machine safe when its build stalls or its bridge dies."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from device_bridge.machines import MachineConfig, read_machines
from device_bridge.safety.by_hand import has_bare_port
from device_bridge.safety.policy import FILE, Policies, changed, read_policies, write_policies
from domain.shared.errors import InvalidInputError, NotFoundError
from ops.cli.homes import Home
from ops.cli.reach import AsJson, show
from ops.settings import Settings


def safety(
    machine: Annotated[
        str | None, typer.Argument(help="Its name or node id; without it: of all of them.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="For example on_loss=pause or stall_s=900; may be repeated."),
    ] = None,
    home: Home = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show, or set, what is done when a build stalls or the bridge dies. It holds within a second.

    Example: imewe bridge safety prusa-1 --set on_loss=pause
    """
    folder = Settings.from_environment(home).home
    machines = read_machines(folder / "machines.json")
    policies = read_policies(folder / FILE)
    if changes:
        policies = _with(policies, _node(machine, machines), _read(changes))
        write_policies(folder / FILE, policies)
    wanted = [each for each in machines if machine in (None, each.name, each.node_id)]
    told = [{"machine": each.name, **_policy(policies, each)} for each in wanted]
    default = {"machine": "(default)", **asdict(policies.default)}
    shown = [default, *told] if machine is None else told
    show(shown, as_json=as_json, headings=tuple(default), rows=[_row(each) for each in shown])


def _policy(policies: Policies, machine: MachineConfig) -> dict[str, Any]:
    """A machine that runs its programs by itself is not made safe by a watcher."""
    policy = asdict(policies.of(machine.node_id))
    return policy if has_bare_port(machine) else {**policy, "on_loss": "finish"}


def _row(shown: dict[str, Any]) -> tuple[object, ...]:
    return tuple(f"{value:g}" if isinstance(value, float) else value for value in shown.values())


def _node(machine: str | None, machines: list[MachineConfig]) -> str:
    if machine is None:
        return ""
    for each in machines:
        if machine in (each.name, each.node_id):
            return each.node_id
    raise NotFoundError(f"this computer has no machine {machine}", field="machine")


def _read(changes: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise InvalidInputError(f"{change!r} is not NAME=VALUE", field="set")
        try:
            found[name] = value if name == "on_loss" else float(value)
        except ValueError:
            raise InvalidInputError(f"{name} must be a number", field=name) from None
    return found


def _with(policies: Policies, node_id: str, given: dict[str, Any]) -> Policies:
    if not node_id:
        return Policies(changed(policies.default, given), policies.machines)
    own = changed(policies.of(node_id), given)
    return Policies(policies.default, {**policies.machines, node_id: own})
