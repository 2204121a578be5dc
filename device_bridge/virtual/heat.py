"""Heaters as closed formulas: nothing ticks, every temperature is computed when asked.

Time is the machine's own, in seconds; a sped-up machine gives a faster clock.
"""

import math
from dataclasses import dataclass

AMBIENT_C = 21.0


@dataclass(slots=True, kw_only=True)
class Heater:
    """A first-order body: full power leads towards ``limit_c`` with time constant ``tau_s``."""

    power_w: float
    limit_c: float
    tau_s: float
    target_c: float = 0.0
    fault: str = ""
    """``cold``: it does not heat. ``runaway``: it heats with all its power, whatever it is told."""
    _from_c: float = AMBIENT_C
    _since: float = 0.0
    _joules: float = 0.0

    def temperature(self, now: float) -> float:
        """°C at a moment not before the last change."""
        goal, settled = self._goal(), self._settles_at()
        if now >= settled:
            return goal
        drift = AMBIENT_C if goal < self._from_c else self.limit_c
        return drift + (self._from_c - drift) * math.exp(-(now - self._since) / self.tau_s)

    def set_target(self, target_c: float, now: float) -> None:
        """A new set-point; 0 is off."""
        self._joules = self.energy_j(now)
        self._from_c = self.temperature(now)
        self._since = now
        self.target_c = target_c

    def fail(self, fault: str, now: float) -> None:
        """Break in one of the two ways; it is told the same as before."""
        self.set_target(self.target_c, now)
        self.fault = fault

    def reached_at(self) -> float:
        """When the target is reached (already passed when it was)."""
        return self._settles_at()

    def duty(self, now: float) -> float:
        """Share of full power, 0 to 1."""
        if self.target_c <= 0 and not self.fault:
            return 0.0
        if now < self._settles_at():
            return 1.0 if self._goal() > self._from_c else 0.0
        return self._holding()

    def energy_j(self, now: float) -> float:
        """Joules used since the machine was made."""
        if self.target_c <= 0:
            return self._joules
        settled = self._settles_at()
        full = max(0.0, min(now, settled) - self._since) if self._goal() > self._from_c else 0.0
        held = max(0.0, now - max(settled, self._since)) * self._holding()
        return self._joules + self.power_w * (full + held)

    def _goal(self) -> float:
        if self.fault:
            return AMBIENT_C if self.fault == "cold" else self.limit_c - 1.0
        return min(max(self.target_c, AMBIENT_C), self.limit_c - 1.0)

    def _holding(self) -> float:
        return (self._goal() - AMBIENT_C) / (self.limit_c - AMBIENT_C)

    def _settles_at(self) -> float:
        goal = self._goal()
        if math.isclose(goal, self._from_c, abs_tol=0.05):
            return self._since
        if goal > self._from_c:
            ratio = (self.limit_c - self._from_c) / (self.limit_c - goal)
        else:
            ratio = (self._from_c - AMBIENT_C) / max(goal - AMBIENT_C, 0.05)
        return self._since + self.tau_s * math.log(max(ratio, 1.0))


def hotend() -> Heater:
    """A 40 W hot end: 200 °C in about 70 s."""
    return Heater(power_w=40.0, limit_c=420.0, tau_s=120.0)


def bed() -> Heater:
    """A 220 W bed: 60 °C in about 130 s."""
    return Heater(power_w=220.0, limit_c=130.0, tau_s=300.0)
