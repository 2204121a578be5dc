"""A machine's last known status and readings, and who is told of changes."""

from collections.abc import AsyncIterator
from time import monotonic

from device_bridge.events import Announcer
from device_bridge.protocols import (
    Condition,
    DeviceEvent,
    DeviceStatus,
    Listener,
    Sampled,
    StatusChanged,
    TelemetrySample,
)
from domain.node.states import ConditionLevel


class MachineState:
    """What a driver knows; each change is told once."""

    def __init__(self) -> None:
        self.status = DeviceStatus()
        self.metrics: dict[str, float] = {}
        self._announcer = Announcer()

    def become(self, status: DeviceStatus) -> None:
        """Take a new status and tell it when it differs."""
        if status != self.status:
            self.status = status
            self._announcer.tell(StatusChanged(status))

    def warn(self, *, type: str, code: str, text: str) -> None:
        """Add a warning; one of the same code is replaced."""
        warning = Condition(level=ConditionLevel.WARNING, type=type, code=code, text=text)
        kept = tuple(c for c in self.status.conditions if c.code != code)
        self.become(self.status.but(conditions=(*kept, warning)))

    def measured(self, metrics: dict[str, float]) -> None:
        """Take new readings and tell them."""
        self.metrics.update(metrics)
        self.tell(Sampled(TelemetrySample(mono_s=monotonic(), metrics=metrics)))

    def tell(self, event: DeviceEvent) -> None:
        """Tell every listener."""
        self._announcer.tell(event)

    def listen(self, listener: Listener) -> None:
        """Have every later event told to ``listener``."""
        self._announcer.listen(listener)

    def events(self) -> AsyncIterator[DeviceEvent]:
        """The same events to iterate over."""
        return self._announcer.events()
