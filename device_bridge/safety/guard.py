"""The watcher inside the bridge: apart from the driver, it sees every event and trusts none.

Heat and spindle are leases of the running build, renewed by what the machine does and not by the
build's existence: acknowledged lines, keep-alives, motion. A build that stalls, heat that has no
effect, runs away, goes blind or belongs to nobody makes the machine safe.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from time import monotonic

import structlog

from device_bridge.errors import DeviceError, LinkLostError, MachineBusyError, UnsupportedError
from device_bridge.protocols import DeviceDriver, RunResult, TelemetrySample
from device_bridge.safety.heat_checks import Finding, HeatChecks
from device_bridge.safety.policy import SafetyPolicy
from domain.node.states import Execution

LOOK_S = 1.0
CALM_S = 60.0
WATCHER = "watcher"
FOREIGN = frozenset({
    Execution.ACTIVE, Execution.INTERRUPTED, Execution.FEED_HOLD, Execution.WAIT,
})  # fmt: skip
"""Somebody's program is on the machine, if not ours: its heat is not without an owner."""
HELD = frozenset({Execution.INTERRUPTED, Execution.FEED_HOLD, Execution.WAIT})
KINDS = {"BUILD_STALLED": "MOTION_PROGRAM", "MADE_SAFE": "SYSTEM"}
POSITION = "position."


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What the watcher may do, and whom it tells: ``(code, type, text)``."""

    warn: Callable[[str, str, str], None]
    relieve: Callable[[str], None]
    pause: Callable[[str], Awaitable[None]]
    halt: Callable[[str], Awaitable[object]]


class Guard:
    """Watches one machine. ``stalls``: whether a build is fed by this bridge and so can stall;
    ``acts``: whether its driver can do anything but read."""

    def __init__(
        self,
        node_id: str,
        driver: DeviceDriver,
        policy: Callable[[], SafetyPolicy],
        hands: Hands,
        *,
        stalls: bool,
        acts: bool,
    ) -> None:
        self._driver = driver
        self._policy = policy
        self._hands = hands
        self._stalls = stalls
        self._acts = acts
        self._checks = HeatChecks(policy)
        self._build_id = ""
        self._worked_at = 0.0
        self._places: dict[str, float] = {}
        self._verdict: Finding | None = None
        self._told: set[str] = set()
        self._acting: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("bridge.guard").bind(node_id=node_id)

    @property
    def at_work(self) -> bool:
        """A build is on the machine, or it is hot, or its spindle turns."""
        return bool(self._build_id) or self._checks.hot

    def begins(self, build_id: str) -> None:
        """A build takes the lease."""
        self._build_id, self._verdict = build_id, None
        self._checks.belongs(monotonic(), building=True)
        self.working()
        self.relieve("MADE_SAFE")

    def working(self) -> None:
        """The machine did something for its build: the lease is renewed."""
        self._worked_at = monotonic()
        if "BUILD_STALLED" in self._told:
            self.relieve("BUILD_STALLED")

    def ends(self, *, known: bool) -> None:
        """The build gives the lease back. Heat left by one whose end nobody saw has none."""
        self._build_id = ""
        self.relieve("BUILD_STALLED")
        if not known:
            self.orphan()

    def orphan(self) -> None:
        """Heat that a build left behind: off at once, unless the policy wants it held."""
        if self._policy().on_loss == "cool":
            self._checks.orphan()

    def judged(self, result: RunResult) -> RunResult:
        """A run that was ended by this watcher has failed, for its reason."""
        verdict = self._verdict
        if verdict is None or result.outcome != "cancelled":
            return result
        return replace(result, outcome="failed", reason=verdict.code, native_text=verdict.text)

    def measured(self, sample: TelemetrySample) -> None:
        """Readings. A place that changed is work."""
        places = {name: v for name, v in sample.metrics.items() if name.startswith(POSITION)}
        if any(self._places.get(name, value) != value for name, value in places.items()):
            self.working()
        self._places.update(places)
        building = bool(self._build_id) or self._driver.get_status().execution in FOREIGN
        self._find(self._checks.take(sample.metrics, sample.mono_s, building=building))

    def lost(self) -> None:
        """The link went away."""
        self._checks.forget()
        self._places.clear()

    async def run(self) -> None:
        """Look every second; cancel to stop."""
        while True:
            await asyncio.sleep(LOOK_S)
            self._find([*self._checks.tick(monotonic()), *self._stalled(monotonic())])

    def made_safe(self, text: str) -> None:
        """Tell what was done while no bridge lived."""
        self._tell(Finding(code="MADE_SAFE", action="warn", text=text))

    def relieve(self, code: str) -> None:
        """It does not hold any more."""
        if code in self._told:
            self._told.discard(code)
            self._hands.relieve(code)

    def _stalled(self, now: float) -> list[Finding]:
        if not self._build_id or not self._stalls or self._driver.get_status().execution in HELD:
            self._worked_at = now
            return []
        silent = now - self._worked_at
        if silent <= self._policy().stall_s or "BUILD_STALLED" in self._told:
            return []
        text = f"nothing was acknowledged and nothing moved for {silent:.0f} s"
        return [Finding(code="BUILD_STALLED", action="cool", text=text)]

    def _find(self, findings: list[Finding]) -> None:
        for code in self._told - self._checks.codes - {"BUILD_STALLED", "MADE_SAFE"}:
            self.relieve(code)
        for finding in findings:
            self._tell(finding)
            busy = self._acting is not None and not self._acting.done()
            if self._acts and finding.action != "warn" and (not busy or finding.action == "stop"):
                self._acting = asyncio.get_running_loop().create_task(self._act(finding))

    def _tell(self, finding: Finding) -> None:
        self._log.warning("found", code=finding.code, action=finding.action, text=finding.text)
        self._told.add(finding.code)
        kind = KINDS.get(finding.code, "TEMPERATURE")
        self._hands.warn(finding.code, kind, finding.text)

    async def _act(self, finding: Finding) -> None:
        if finding.action == "stop":
            await self._hands.halt(f"{WATCHER}/{finding.code}")
            return
        try:
            async with asyncio.timeout(CALM_S):
                await self._calm(finding)
        except (LinkLostError, UnsupportedError) as helpless:
            self._log.error("not_made_safe", problem=helpless.message)
        except (DeviceError, TimeoutError) as problem:
            self._log.error("does_not_obey", problem=str(problem))
            await self._hands.halt(f"{WATCHER}/{finding.code}")

    async def _calm(self, finding: Finding) -> None:
        if self._build_id and finding.code == "BUILD_STALLED" and self._policy().on_loss == "pause":
            await self._hands.pause(self._build_id)
            return
        if self._build_id:
            self._verdict = finding
            try:
                await self._driver.cancel()
                return
            except MachineBusyError:
                pass  # it has just ended by itself
        await self._driver.heat_off()
