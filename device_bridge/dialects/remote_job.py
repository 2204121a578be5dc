"""What a machine that holds its programs itself says of the one that is on it."""

import re
from dataclasses import dataclass
from enum import StrEnum

from device_bridge.errors import BadProgramError

_BUILD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


class Phase(StrEnum):
    """How far a stored program is. ``UNKNOWN``: a word that this bridge does not know."""

    NONE = "NONE"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    HELD = "HELD"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"

    @property
    def on_the_machine(self) -> bool:
        """It runs or holds; its end is still to come."""
        return self in {Phase.STARTING, Phase.RUNNING, Phase.HELD}

    @property
    def over(self) -> bool:
        """The machine says how it ended."""
        return self in {Phase.COMPLETED, Phase.CANCELLED, Phase.FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteJob:
    """The program that a machine reports, or none (``file_name`` is empty then).

    ``share``: 0 to 1 of it was run; ``filament_mm``: what it used; ``seconds``: how long it
    ran. ``None`` is not known.
    """

    file_name: str = ""
    phase: Phase = Phase.NONE
    share: float | None = None
    filament_mm: float | None = None
    seconds: float | None = None
    text: str = ""


def file_name(build_id: str) -> str:
    """The name under which a build lies on its machine. Raises ``BadProgramError``."""
    if not _BUILD_ID.fullmatch(build_id):
        raise BadProgramError("the build's id cannot be a file's name", field="build_id")
    return f"{build_id}.gcode"
