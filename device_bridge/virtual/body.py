"""The physical side of a virtual machine: heat, motion, material, power."""

import math
from collections.abc import Callable

from device_bridge.virtual.heat import Heater
from device_bridge.virtual.motion import Planner, Point

ELECTRONICS_W = 9.0
MOTORS_W = 14.0
FILAMENT_AREA_MM2 = math.pi * (1.75 / 2) ** 2
COLD_C = 170.0


class Body:
    """Heaters and a planner in a machine whose clock runs ``speed`` times too fast.

    Energy of heaters, motors and spindle is counted in the machine's own time, that of the
    electronics in wall time. Everything is computed when asked.
    """

    def __init__(
        self, clock: Callable[[], float], *, speed: float, heaters: dict[str, Heater], slots: int
    ) -> None:
        self.clock = clock
        self.speed = speed
        self.heaters = heaters
        self.planner = Planner(slots=slots, speed=speed)
        self.filament_mm = 0.0
        self.spindle_w = 0.0
        self._spindle_j = 0.0
        self._spindle_since = clock()
        self._since = clock()
        self._heat_zero = self._since

    def machine_time(self) -> float:
        """Seconds of the machine's own clock."""
        return (self.clock() - self._heat_zero) * self.speed

    def wall(self, machine_time: float) -> float:
        """The wall time of a moment of the machine's clock."""
        return self._heat_zero + machine_time / self.speed

    def temperature(self, name: str) -> float:
        """°C of one heater."""
        return self.heaters[name].temperature(self.machine_time())

    def heat(self, name: str, target_c: float) -> None:
        """A new set-point."""
        self.heaters[name].set_target(target_c, self.machine_time())

    def heated_at(self, name: str) -> float:
        """Wall time at which the set-point is reached."""
        return self.wall(self.heaters[name].reached_at())

    def cool_down(self) -> None:
        """Every heater and the spindle off."""
        for name in self.heaters:
            self.heat(name, 0.0)
        self.spin(0.0)

    def spin(self, watts: float) -> None:
        """Spindle or laser at this power."""
        now = self.clock()
        self._spindle_j += self.spindle_w * (now - self._spindle_since) * self.speed
        self._spindle_since = now
        self.spindle_w = watts

    def move(
        self,
        stop: Point,
        *,
        feed_mm_s: float,
        extrude_mm: float = 0.0,
        centre: tuple[float, float] | None = None,
    ) -> None:
        """Plan one move: straight, or with ``centre`` (x, y) once around it at most.

        An arc takes its true time; on the way its position is told along the chord.
        """
        start = self.planner.destination
        length = math.dist(start, stop) if centre is None else arc_mm(start, stop, centre)
        length = length or abs(extrude_mm)
        seconds = max(length / max(feed_mm_s, 0.01), 0.0005)
        self.planner.add(stop, seconds=seconds, now=self.clock())
        self.filament_mm += extrude_mm

    def power_w(self) -> float:
        """Watts now."""
        now = self.machine_time()
        heat = sum(h.power_w * h.duty(now) for h in self.heaters.values())
        motors = 0.0 if self.planner.idle(self.clock()) else MOTORS_W
        return ELECTRONICS_W + heat + motors + self.spindle_w

    def energy_j(self) -> float:
        """Joules since power-up."""
        now = self.clock()
        machine = self.machine_time()
        heat = sum(heater.energy_j(machine) for heater in self.heaters.values())
        spindle = self._spindle_j + self.spindle_w * (now - self._spindle_since) * self.speed
        electronics = ELECTRONICS_W * (now - self._since)
        return electronics + heat + spindle + MOTORS_W * self.planner.moving_s


def arc_mm(start: Point, stop: Point, centre: tuple[float, float]) -> float:
    """Length of the shorter arc about a centre, or of the circle when it ends where it began."""
    radius = math.dist(start[:2], centre)
    if math.dist(start[:2], stop[:2]) < 1e-6:
        return 2 * math.pi * radius
    first = math.atan2(start[1] - centre[1], start[0] - centre[0])
    last = math.atan2(stop[1] - centre[1], stop[0] - centre[0])
    angle = abs(last - first) % (2 * math.pi)
    return math.hypot(radius * min(angle, 2 * math.pi - angle), stop[2] - start[2])
