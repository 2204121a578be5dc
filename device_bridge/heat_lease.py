"""Heat belongs to a build: without one it is switched off after a while. Pure."""

IDLE_HEAT_S = 600.0


class HeatLease:
    """Renewed by the running build; a machine that heats without one for 10 minutes is told
    to stop. Seconds on one monotonic clock."""

    def __init__(self, *, idle_heat_s: float = IDLE_HEAT_S) -> None:
        self._idle_heat_s = idle_heat_s
        self._since: float | None = None

    def renew(self) -> None:
        """A build is on the machine."""
        self._since = None

    def expired(self, metrics: dict[str, float], now: float) -> bool:
        """Whether these readings show heat that nobody holds a lease for any more."""
        targets = [value for name, value in metrics.items() if name.endswith(".target_c")]
        if not targets:
            return False
        if max(targets) <= 0:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        return now - self._since > self._idle_heat_s
