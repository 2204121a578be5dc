"""Lets through only what may change a decision: a state, a fault, a limit crossed."""

from typing import Any

from device_bridge.protocols import (
    Condition,
    DeviceStatus,
)
from domain.node.states import ConditionLevel

LIMITS_C = {"temperature.hotend0.actual_c": 310.0, "temperature.bed.actual_c": 140.0}
HYSTERESIS_C = 5.0


class Deadband:
    """Remembers what the core was told last; ``None`` means that it need not be told again."""

    def __init__(self, limits_c: dict[str, float] | None = None) -> None:
        self._limits = LIMITS_C if limits_c is None else limits_c
        self._beyond: dict[str, Condition] = {}
        self._told: dict[str, Any] | None = None
        self._warnings: dict[str, Condition] = {}

    def warn(self, *, type: str, code: str, text: str) -> None:
        """A warning that the machine does not give itself; it stands until ``relieve``."""
        self._warnings[code] = Condition(
            level=ConditionLevel.WARNING, type=type, code=code, text=text
        )

    def relieve(self, code: str) -> bool:
        """The warning does not hold any more; False when there was none."""
        return self._warnings.pop(code, None) is not None

    def observe(self, status: DeviceStatus) -> dict[str, Any] | None:
        """The observation to report after this status, if it differs from the last."""
        ours = (*self._beyond.values(), *self._warnings.values())
        conditions = (*status.conditions, *ours)
        observation = status.but(conditions=conditions).as_json()
        if observation == self._told:
            return None
        self._told = observation
        return observation

    def measured(self, metrics: dict[str, float]) -> bool:
        """Whether these readings cross a limit, upwards or, by 5 °C less, downwards."""
        crossed = False
        for name, limit in self._limits.items():
            value = metrics.get(name)
            if value is None:
                continue
            if value > limit and name not in self._beyond:
                self._beyond[name] = _too_hot(name, limit)
                crossed = True
            elif value < limit - HYSTERESIS_C and name in self._beyond:
                del self._beyond[name]
                crossed = True
        return crossed


def _too_hot(name: str, limit: float) -> Condition:
    text = f"{name} is above {limit:.0f} °C"
    return Condition(level=ConditionLevel.WARNING, type="TEMPERATURE", code="LIMIT", text=text)
