"""What a process manager may ask for: commands, and the few messages that are no commands."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from domain.shared.identifiers import derived
from domain.shared.recorded import RecordedEvent

_NAMING: Final = (
    "job_id",
    "part_id",
    "piece",
    "line",
    "dispatch_id",
    "attempt",
    "build_id",
    "node_id",
    "inventory_id",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """A command to send. When it is refused ``on_refusal`` is sent and the rest of the same step
    in the same lane is dropped; without ``on_refusal`` the step goes on.

    ``lane``: what is sent in one lane is sent in order; lanes do not wait for each other.
    """

    command: Any
    command_id: str
    organisation_id: str
    causation_id: str
    correlation_id: str
    lane: str
    on_refusal: "Send | None" = None

    @property
    def name(self) -> str:
        """The command's name on the wire."""
        return type(self.command).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request to a bridge about the build its machine works on: ``cancel``, ``pause`` or
    ``resume``."""

    bridge: str
    verb: str
    node_id: str
    build_id: str

    @property
    def lane(self) -> str:
        """A bridge that does not answer holds up nobody else."""
        return f"bridge:{self.node_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """A work message for the queue of a node."""

    node_id: str
    build_id: str
    message: dict[str, Any]

    @property
    def lane(self) -> str:
        """The queue's own lane."""
        return f"work:{self.node_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimer:
    """Wake the watchdog at ``due`` (UTC); the same id again moves the alarm."""

    timer_id: str
    due: datetime
    lane: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearTimer:
    """Nobody waits for this alarm any more."""

    timer_id: str
    lane: str


Output = Send | Ask | Relay | SetTimer | ClearTimer


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What a step follows from. All names of commands come from it, so that the same step again
    sends the same commands."""

    id: str
    organisation_id: str
    correlation_id: str

    @classmethod
    def of(cls, recorded: RecordedEvent) -> "Cause":
        """An event as the cause."""
        return cls(
            id=recorded.event_id,
            organisation_id=recorded.envelope.organisation_id,
            correlation_id=recorded.envelope.correlation_id or recorded.event_id,
        )

    def send(self, command: Any, *, lane: str, on_refusal: Send | None = None) -> Send:
        """The command, named after this cause and what the command is about."""
        fields = vars(command)
        about = [f"{name}={fields[name]}" for name in _NAMING if name in fields]
        return Send(
            command=command,
            command_id=str(derived(type(command).__name__, self.id, *about)),
            organisation_id=self.organisation_id,
            causation_id=self.id,
            correlation_id=self.correlation_id,
            lane=lane,
            on_refusal=on_refusal,
        )
