"""What the bridge asks of a machine, of the wire to it and of the core.

Words for a machine's state are MTConnect's: four independent items, never one enumeration.
Units: °C, mm, mm/s, W, J, percent; times in seconds on the monotonic clock unless said otherwise.
"""

from asyncio import Future
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from device_bridge.errors import DeviceError
from domain.node.states import Availability, ConditionLevel, EmergencyStop, Execution


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One thing wrong with a machine. ``type`` is an MTConnect condition type."""

    level: ConditionLevel
    type: str
    code: str
    text: str

    def as_json(self) -> dict[str, str]:
        """The form that commands carry."""
        return {"level": self.level, "type": self.type, "code": self.code, "text": self.text}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStatus:
    """The four items, and what is known of temperatures (by channel name) and position."""

    availability: Availability = Availability.UNAVAILABLE
    execution: Execution = Execution.UNAVAILABLE
    emergency_stop: EmergencyStop = EmergencyStop.ARMED
    conditions: tuple[Condition, ...] = ()

    def but(self, **changes: Any) -> "DeviceStatus":
        """The same status with some items changed."""
        return replace(self, **changes)

    def with_fault(self, *, type: str, code: str, text: str) -> "DeviceStatus":
        """The same status with one more fault; a fault of the same code is replaced."""
        fault = Condition(level=ConditionLevel.FAULT, type=type, code=code, text=text)
        kept = tuple(c for c in self.conditions if c.code != code)
        return replace(self, conditions=(*kept, fault))

    def as_json(self) -> dict[str, Any]:
        """The form that ``ObserveNode`` carries."""
        return {
            "availability": self.availability,
            "execution": self.execution,
            "emergency_stop": self.emergency_stop,
            "conditions": [condition.as_json() for condition in self.conditions],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceIdentity:
    """Who answered the handshake. ``capabilities`` are detected, never assumed."""

    firmware: str
    dialect: str
    capabilities: dict[str, bool | int | float | str] = field(default_factory=dict)
    native: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The form that ``ConnectMachine`` carries."""
        return {
            "firmware": self.firmware,
            "dialect": self.dialect,
            "capabilities": dict(self.capabilities),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """One program to run. ``program`` is a local file whose digest was checked."""

    build_id: str
    program: Path
    filament_mm: float = 1.75
    format: str = "gcode"
    """``stl`` or ``obj`` for a person who prepares it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended that the machine was sent. ``outcome``: finished, failed, cancelled or
    unknown.

    ``material_mm3`` counts what acknowledged lines pushed out of the nozzle.
    """

    outcome: str
    lines_done: int
    lines_total: int
    material_mm3: int
    reason: str = ""
    native_text: str = ""
    duration_ms: int | None = None
    """The machine's own count, for a run that this bridge did not see from its start."""
    material_mg: int | None = None
    """What a person weighed; it stands for what ``material_mm3`` would give."""


@dataclass(slots=True, kw_only=True)
class RunHandle:
    """A run that the device has accepted."""

    build_id: str
    lines_total: int
    result: "Future[RunResult]"


@dataclass(frozen=True, slots=True, kw_only=True)
class EStopReceipt:
    """What is known after an emergency stop.

    ``confirmed``: the machine said that it halted. ``latency_ms``: from the call to that
    answer, or to the bytes being written when there was none.
    """

    confirmed: bool
    latency_ms: float
    native_text: str

    def as_json(self) -> dict[str, Any]:
        """The form that answers a stop request."""
        return {
            "confirmed": self.confirmed,
            "latency_ms": round(self.latency_ms, 3),
            "native_text": self.native_text,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationResult:
    """What a calibration routine printed."""

    routine: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySample:
    """Readings of one moment. Missing is absent, never 0. ``mono_s`` is monotonic."""

    mono_s: float
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """The machine's status is now this."""

    status: DeviceStatus


@dataclass(frozen=True, slots=True)
class Sampled:
    """The machine, or its meter, reported readings."""

    sample: TelemetrySample


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """Lines of the running program that the machine acknowledged."""

    build_id: str
    lines_done: int
    lines_total: int


@dataclass(frozen=True, slots=True)
class Working:
    """The machine says that it is busy with what it was given (a keep-alive)."""


@dataclass(frozen=True, slots=True)
class LinkLost:
    """The port went away."""

    error: DeviceError


DeviceEvent = StatusChanged | Sampled | Progressed | Working | LinkLost
Listener = Callable[[DeviceEvent], None]
Beginning = Callable[[], Awaitable[None]]
"""Awaited when a program was found good and its machine ready, before the first byte of it."""


class Transport(Protocol):
    """Bytes to and from one machine."""

    def open(self, received: Callable[[bytes], None], lost: Callable[[DeviceError], None]) -> None:
        """Open at once, exclusively; both callbacks run in the event loop of the caller."""

    def write(self, data: bytes) -> None:
        """Queue bytes. Never blocks. Raises ``LinkLostError`` when closed."""

    def write_now(self, data: bytes) -> None:
        """Overtake everything queued; for emergency stops. Callable from any thread."""

    def reset_board(self) -> bool:
        """Pulse DTR where the port has it. False when it has none."""

    def close(self) -> None:
        """Close; no callback runs afterwards."""


class DeviceDriver(Protocol):
    """The specification's seven verbs, and the ones the field needs beside them."""

    async def connect(self) -> DeviceIdentity:
        """Open, shake hands, detect capabilities. Nothing moves."""

    async def disconnect(self) -> None:
        """Give the port back. The machine is left as it is."""

    async def execute_job(self, job: JobSpec, *, beginning: Beginning | None = None) -> RunHandle:
        """Start a program; returns when it is on its way, not when it ended.

        Raises a ``DeviceError`` before the first byte of the program, or not at all.
        """

    def get_status(self) -> DeviceStatus:
        """The last known status; never waits for the machine."""

    async def pause(self) -> None:
        """Returns when the machine reports that it holds, else raises ``NotHeldError``."""

    async def resume(self) -> None:
        """Go on after a pause."""

    async def cancel(self) -> RunResult:
        """End the running program and switch heat and spindle off."""

    async def emergency_stop(self) -> EStopReceipt:
        """Stop now: an own path to the wire; idempotent; latched until ``clear_fault``."""

    async def clear_fault(self, operator: str) -> DeviceIdentity:
        """A person says that the machine may be used again: connect anew. Never automatic."""

    async def calibrate(self, routine: str) -> CalibrationResult:
        """Run one of the machine's own routines."""

    def get_telemetry(self) -> TelemetrySample:
        """The newest readings."""

    async def heat_off(self) -> None:
        """Switch every heater and tool off."""

    def listen(self, listener: Listener) -> None:
        """Have every later event told to ``listener``, in the event loop."""

    def events(self) -> AsyncIterator[DeviceEvent]:
        """The same events to iterate over."""


@runtime_checkable
class RunsAlone(Protocol):
    """A driver of machines that hold the program and go on without this bridge."""

    async def follow(self, build_id: str) -> RunHandle | None:
        """The run of a build that the machine still knows; starts nothing."""


class WorkItem(Protocol):
    """One message of the work queue."""

    @property
    def body(self) -> bytes:
        """Its JSON."""

    async def acknowledge(self) -> None:
        """Never deliver it again."""

    async def retry(self, delay_s: float) -> None:
        """Deliver it again later."""


class WorkQueue(Protocol):
    """Where sent builds wait for their machine."""

    async def pull(self, node_id: str) -> WorkItem:
        """The next message for a node; waits as long as there is none."""
