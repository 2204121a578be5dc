"""What makes a machine safe when its build stalls or its bridge dies, by machine.

``home/safety.json``: ``{"default": {...}, "machines": {"<node id>": {...}}}``; what is not written
holds as below. Loss of the core alone changes nothing: the machine finishes.
"""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import structlog

from domain.shared.errors import InvalidInputError

FILE = "safety.json"
CHOICES = ("cool", "pause")


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyPolicy:
    """Times in seconds, temperatures in °C.

    ``on_loss``: ``cool`` (motion ends, heat and spindle off) or ``pause`` (it holds with its heat
    on, and is cooled after ``idle_heat_s`` all the same). ``stall_s``: a build in which so long
    nothing was acknowledged, no keep-alive came and nothing moved has stalled. ``idle_heat_s``:
    heat without a build. ``effect_s``: a heater that is told to heat must get warmer within it.
    ``margin_c``: how far above its target a heater may rise. ``hung_s``: a bridge that gave no
    sign for so long while a machine is at work is killed.
    """

    on_loss: str = "cool"
    stall_s: float = 600.0
    idle_heat_s: float = 600.0
    effect_s: float = 180.0
    margin_c: float = 20.0
    hung_s: float = 60.0


class Policies:
    """The policies of one bridge's machines."""

    def __init__(
        self, default: SafetyPolicy | None = None, machines: dict[str, SafetyPolicy] | None = None
    ) -> None:
        self.default = default or SafetyPolicy()
        self.machines = machines or {}

    def of(self, node_id: str) -> SafetyPolicy:
        """The policy of a machine."""
        return self.machines.get(node_id, self.default)


class PolicyFile:
    """The policies as the file says them now. One that cannot be read changes nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._policies = Policies()
        self._read_at = 0.0

    def of(self, node_id: str) -> SafetyPolicy:
        """The policy of a machine."""
        return self._policies.of(node_id)

    def look(self) -> None:
        """Take over what was changed."""
        changed_at = self._path.stat().st_mtime if self._path.exists() else 0.0
        if changed_at == self._read_at:
            return
        self._read_at = changed_at
        try:
            self._policies = read_policies(self._path)
        except InvalidInputError as problem:
            log = structlog.get_logger("bridge.policies")
            log.error("policies_unreadable", problem=problem.message)


def read_policies(path: Path) -> Policies:
    """The file, or the defaults when there is none. Raises ``InvalidInputError``."""
    if not path.exists():
        return Policies()
    try:
        content = json.loads(path.read_text())
        default = changed(SafetyPolicy(), content.get("default", {}))
        machines = {
            node: changed(default, given) for node, given in content.get("machines", {}).items()
        }
    except (ValueError, TypeError, AttributeError) as problem:
        raise InvalidInputError(f"{path.name} cannot be read: {problem}") from problem
    return Policies(default, machines)


def write_policies(path: Path, policies: Policies) -> None:
    """Replace the file as a whole."""
    content = {
        "default": asdict(policies.default),
        "machines": {node: asdict(policy) for node, policy in policies.machines.items()},
    }
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(content, indent=2))
    fresh.replace(path)


def changed(policy: SafetyPolicy, given: dict[str, Any]) -> SafetyPolicy:
    """A policy with other values. Raises ``InvalidInputError`` that names the field."""
    known = {field.name for field in fields(SafetyPolicy)}
    for name, value in given.items():
        if name not in known:
            raise InvalidInputError(f"a policy has no {name[:40]}", field=name)
        if name == "on_loss" and value not in CHOICES:
            raise InvalidInputError(f"on_loss must be one of {', '.join(CHOICES)}", field=name)
        if name != "on_loss" and not (isinstance(value, int | float) and 0 < value <= 86_400):
            raise InvalidInputError(f"{name} must be a number from 0 to 86400", field=name)
    return replace(policy, **given)
