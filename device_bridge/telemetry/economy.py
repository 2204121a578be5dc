"""Which readings say something: all while a build runs, at rest what moved or is long ago."""

from typing import Final

from domain.telemetry.channels import unit_of

HEARTBEAT_MS: Final = 10_000
"""At rest every channel is heard so often all the same: silence for half a minute is a fault."""
BANDS: Final = {"°C": 0.2, "W": 2.0, "J": 100.0, "V": 1.0, "A": 0.05, "mm/s²": 0.1}
"""How far a value may move at rest without being told; those of other units never do."""


class Economy:
    """Remembers what was told last of each channel. Nothing it holds back counts as lost."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[int, float]] = {}

    def worth(self, metrics: dict[str, float], *, at: int, building: bool) -> dict[str, float]:
        """The readings of a moment (Unix ms) that are to be told."""
        told = metrics if building else self._news(metrics, at)
        self._told.update({name: (at, value) for name, value in told.items()})
        return told

    def _news(self, metrics: dict[str, float], at: int) -> dict[str, float]:
        return {name: value for name, value in metrics.items() if self._is_news(name, value, at)}

    def _is_news(self, name: str, value: float, at: int) -> bool:
        known = self._told.get(name)
        if known is None:
            return True
        # a clock that was set back must not silence a machine
        if not 0 <= at - known[0] < HEARTBEAT_MS:
            return True
        return not abs(value - known[1]) <= BANDS.get(unit_of(name), 0.0)
