"""The messages of the work queue, checked before anything believes them."""

import json
from dataclasses import dataclass, field
from typing import Any

from domain.shared.errors import InvalidInputError

LONGEST_NAME = 128
COMMANDS = frozenset({"start", "pause", "resume", "cancel"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One sent build. ``digest``: SHA-256 of the G-code in hex. ``epoch``: fencing epoch."""

    build_id: str
    node_id: str
    epoch: int
    digest: str
    size: int
    format: str = "gcode"
    command: str = "start"
    organisation_id: str = ""
    job_id: str = ""
    part_id: str = ""
    material: str = ""
    density_mg_per_mm3: float = 0.0
    estimated_duration_ms: int = 0
    limits: dict[str, Any] = field(default_factory=dict)
    """The machine's profile, for the check of a G-code program; empty: nothing to check by."""
    causation_id: str = ""
    """The event that sent the build: everything reported of it follows from that."""
    correlation_id: str = ""

    def as_json(self) -> str:
        """The form kept in the journal."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})


def parse_work(body: bytes) -> Work:
    """Read a work message. Raises ``InvalidInputError`` that names the field."""
    try:
        message = json.loads(body)
        artifact = message.get("artifact") or {}
        work = Work(
            build_id=_text(message, "build_id"),
            node_id=_text(message, "node_id"),
            epoch=_whole(message, "epoch"),
            digest=str(artifact.get("digest", "")),
            size=_whole(artifact, "size") if "size" in artifact else 0,
            format=_format(artifact),
            command=str(message.get("command", "start")),
            organisation_id=str(message.get("organisation_id", "")),
            job_id=str(message.get("job_id", "")),
            part_id=str(message.get("part_id", "")),
            material=str(message.get("material", "")),
            density_mg_per_mm3=float(message.get("density_mg_per_mm3") or 0.0),
            limits=_limits(message, artifact),
            estimated_duration_ms=int(message.get("estimated_duration_ms") or 0),
            causation_id=_name(message, "causation_id"),
            correlation_id=_name(message, "correlation_id"),
        )
    except (ValueError, TypeError, AttributeError) as problem:
        raise InvalidInputError(f"a work message cannot be read: {problem}") from problem
    if work.command not in COMMANDS:
        raise InvalidInputError(f"unknown command {work.command}", field="command")
    if work.command == "start" and not work.digest:
        raise InvalidInputError("a start names no artifact", field="artifact")
    return work


def _limits(message: dict[str, Any], artifact: dict[str, Any]) -> dict[str, Any]:
    limits = message.get("limits")
    return limits if isinstance(limits, dict) and artifact.get("format") == "gcode" else {}


def _format(artifact: dict[str, Any]) -> str:
    """It ends a file's name."""
    told = artifact.get("format")
    return told if isinstance(told, str) and told.isalnum() and len(told) <= 8 else "gcode"


def _text(message: dict[str, Any], name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidInputError(f"{name} is missing", field=name)
    return value


def _name(message: dict[str, Any], name: str) -> str:
    """It goes back in a header: what does not fit there is nobody's name."""
    value = message.get(name)
    fits = isinstance(value, str) and value.isprintable() and len(value) <= LONGEST_NAME
    return value.strip() if isinstance(value, str) and fits else ""


def _whole(message: dict[str, Any], name: str) -> int:
    value = message.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidInputError(f"{name} must be a whole number", field=name)
    return value
