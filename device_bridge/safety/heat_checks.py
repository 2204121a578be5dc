"""Whether heat does what it was told to. Pure: readings and monotonic seconds in, findings out."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from device_bridge.safety.policy import SafetyPolicy

RISE_C = 2.0
RISES = 3
"""One reading after a gap may be of another heating altogether: so many in a row are none."""
STEP_C = 0.2
NEAR_C = 5.0
CHAMBER = 5
"""A chamber warms up so many times slower than a nozzle or a bed."""
WARM_C = 80.0
"""A heater that is off may be warmed by its neighbour to less than this."""
GRACE_S = 30.0
"""After a build begins or ends the firmware reports at another pace."""
LEAST_STALE_S = 5.0
RESTING_S = 10.0
"""The pace of a machine that has reported too seldom to know it."""
STALE_PERIODS = 3
BLIND_S = 60.0
BEFORE, AFTER = "temperature.", ".actual_c"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something is wrong. ``action``: ``warn``, ``cool`` or ``stop``."""

    code: str
    action: str
    text: str


Look = tuple[str, Finding | None, str]
"""A heater, what is wrong with it or nothing, and the code of the question."""


@dataclass(slots=True, kw_only=True)
class Channel:
    """One heater as it was seen last."""

    target: float = 0.0
    actual: float = 0.0
    risen: int = 0
    """How many readings in a row were beyond the bound, each above the one before."""
    rose_from: float = 0.0
    rose_at: float = 0.0
    at: float = 0.0
    periods: deque[float] = field(default_factory=lambda: deque(maxlen=5))


class HeatChecks:
    """Watches every heater of one machine. Each finding is told once until it passes."""

    def __init__(self, policy: Callable[[], SafetyPolicy]) -> None:
        self._policy = policy
        self._channels: dict[str, Channel] = {}
        self._told: set[tuple[str, str]] = set()
        self._building = False
        self._grace_until = 0.0
        self._hot_since: float | None = None
        self._orphan = False
        self._spindle = 0.0

    @property
    def hot(self) -> bool:
        """Some heater has a set-point, or a spindle or laser is on."""
        return self._spindle > 0 or any(each.target > 0 for each in self._channels.values())

    @property
    def codes(self) -> set[str]:
        """Codes of what holds now."""
        return {code for _, code in self._told}

    def forget(self) -> None:
        """The link went away: old readings say nothing."""
        self._channels.clear()
        self._spindle = 0.0
        self._told.clear()
        self._hot_since = None

    def orphan(self) -> None:
        """The build that held the heat is over and nobody knows how: its lease has run out."""
        self._orphan = True

    def belongs(self, now: float, *, building: bool) -> None:
        """Whether a program holds the lease from now on."""
        if building != self._building:
            self._building = building
            self._grace_until = now + GRACE_S
            self._hot_since = None

    def take(self, metrics: dict[str, float], now: float, *, building: bool) -> list[Finding]:
        """New readings."""
        self.belongs(now, building=building)
        self._spindle = metrics.get("spindle_rpm", self._spindle)
        looked: list[Look] = []
        for name, actual in metrics.items():
            if name.startswith(BEFORE) and name.endswith(AFTER):
                heater = name[len(BEFORE) : -len(AFTER)]
                target = metrics.get(f"{BEFORE}{heater}.target_c")
                looked += self._look(heater, target, actual, now)
        return self._news(looked) + self._unowned(now)

    def tick(self, now: float) -> list[Finding]:
        """Time passes without readings."""
        if now < self._grace_until:
            return []
        found = []
        for heater, channel in self._channels.items():
            if channel.target <= 0 and not self._building:
                continue
            silent = now - channel.at
            known = max(channel.periods, default=0.0)
            period = known if len(channel.periods) >= 3 else max(known, RESTING_S)
            bound = max(STALE_PERIODS * period, LEAST_STALE_S)
            if channel.target > 0 and silent > bound + BLIND_S:
                text = f"{heater} is heated and was not measured for {silent:.0f} s"
                found.append((heater, Finding(code="HEAT_BLIND", action="cool", text=text)))
            elif silent > bound:
                text = f"{heater} was not measured for {silent:.0f} s"
                found.append((heater, Finding(code="SENSOR_STALE", action="warn", text=text)))
        return [finding for heater, finding in found if self._first(heater, finding.code)]

    def _look(self, heater: str, target: float | None, actual: float, now: float) -> list[Look]:
        channel = self._channels.get(heater)
        if channel is None:
            if target is None:
                return []  # nobody said yet what it is told to do
            channel = self._channels[heater] = Channel(
                target=target, actual=actual, rose_from=actual, rose_at=now, at=now
            )
        elif now > channel.at:
            channel.periods.append(now - channel.at)
        self._told.discard((heater, "SENSOR_STALE"))
        self._told.discard((heater, "HEAT_BLIND"))
        if target is not None and target != channel.target:
            channel.target, channel.risen = target, 0
            channel.rose_from, channel.rose_at = actual, now
        before, channel.actual, channel.at = channel.actual, actual, now
        return [
            (heater, self._no_effect(heater, channel, now), "HEAT_NO_EFFECT"),
            (heater, self._runaway(heater, channel, before), "HEAT_RUNAWAY"),
        ]

    def _no_effect(self, heater: str, channel: Channel, now: float) -> Finding | None:
        heating = channel.target > 0 and channel.actual < channel.target - NEAR_C
        if not heating or channel.actual >= channel.rose_from + RISE_C:
            channel.rose_from, channel.rose_at = channel.actual, now
            return None
        slowness = CHAMBER if heater.startswith("chamber") else 1
        if now - channel.rose_at <= self._policy().effect_s * slowness:
            return None
        text = (
            f"{heater} is told to reach {channel.target:.0f} °C and stays at"
            f" {channel.actual:.0f} °C for {now - channel.rose_at:.0f} s"
        )
        return Finding(code="HEAT_NO_EFFECT", action="cool", text=text)

    def _runaway(self, heater: str, channel: Channel, before: float) -> Finding | None:
        bound = channel.target + self._policy().margin_c if channel.target > 0 else WARM_C
        if channel.actual <= bound or channel.actual < before - STEP_C:
            channel.risen = 0
        elif channel.actual > before + STEP_C:
            channel.risen += 1
        if channel.risen < RISES:
            return None
        text = f"{heater} rises to {channel.actual:.0f} °C, its target is {channel.target:.0f} °C"
        return Finding(code="HEAT_RUNAWAY", action="stop", text=text)

    def _unowned(self, now: float) -> list[Finding]:
        """Heat that no build holds a lease for."""
        if self._building or not self.hot:
            self._hot_since = None
            self._orphan = self._orphan and self.hot
            self._told -= {("", "HEAT_UNOWNED"), ("", "HEAT_LEFT_ON")}
            return []
        self._hot_since = now if self._hot_since is None else self._hot_since
        age, bound = now - self._hot_since, self._policy().idle_heat_s
        if age > bound or self._orphan:
            self._orphan = False
            self._hot_since = now  # a machine that does not obey is told again
            self._told.add(("", "HEAT_LEFT_ON"))
            text = "heat or spindle without a build is switched off"
            return [Finding(code="HEAT_LEFT_ON", action="cool", text=text)]
        if age > bound / 2 and self._first("", "HEAT_UNOWNED"):
            text = f"heat or spindle is on without a build; off after {bound:.0f} s"
            return [Finding(code="HEAT_UNOWNED", action="warn", text=text)]
        return []

    def _news(self, looked: list[Look]) -> list[Finding]:
        """What was not told yet; what does not hold any more may be told again."""
        news = []
        for heater, finding, code in looked:
            if finding is None:
                self._told.discard((heater, code))
            elif self._first(heater, code):
                news.append(finding)
        return news

    def _first(self, heater: str, code: str) -> bool:
        if (heater, code) in self._told:
            return False
        self._told.add((heater, code))
        return True
