"""What a person says of a machine without a wire, and what such a machine's driver understands."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from device_bridge.errors import DeviceError
from device_bridge.journal import BuildState
from domain.shared.errors import InvalidInputError

MOST_REASON = 500
MOST_MG = 1_000_000_000
"""A ton."""


class Said(StrEnum):
    """The words of a person at the machine."""

    START = "start"
    FINISH = "finish"
    SCRAP = "scrap"
    PAUSE = "pause"
    RESUME = "resume"


ENDS = {
    Said.START: frozenset(BuildState) - {BuildState.ACCEPTED},
    Said.FINISH: frozenset({BuildState.FINISHED}),
    Said.SCRAP: frozenset({BuildState.FAILED, BuildState.CANCELLED}),
}
"""States of the journal in which a word was already obeyed."""


class NotStartedError(DeviceError):
    """Nobody said that the machine was started."""

    code = "NOT_STARTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word about one build. ``by``: the person, as ``user/<id>``. ``material_mg``: what was
    used, where the person weighed it."""

    said: Said
    build_id: str
    by: str
    reason: str = ""
    material_mg: int | None = None


@runtime_checkable
class Attended(Protocol):
    """A driver whose machine is a person's."""

    def task(self) -> dict[str, Any] | None:
        """What waits for the person: ``build_id``, ``state``, ``file``, ``instructions``,
        ``waiting_s``; ``None`` when nothing does."""

    async def hear(self, word: Word) -> None:
        """Take the person's word. Raises a ``DeviceError`` when it cannot be true."""

    def withdraw(self, build_id: str) -> None:
        """Nobody wants the build any more, and nobody has begun it."""


def parse_word(request: dict[str, Any]) -> Word:
    """Read a request of the core. Raises ``InvalidInputError`` that names the field."""
    try:
        said = Said(str(request.get("said", "")))
    except ValueError:
        raise InvalidInputError(f"say one of {', '.join(Said)}", field="said") from None
    build_id, by = str(request.get("build_id", "")), str(request.get("operator", ""))
    if not build_id or not by:
        raise InvalidInputError("a word names a build and a person", field="build_id")
    reason = " ".join(str(request.get("reason") or "").split())
    if said is Said.SCRAP and not reason:
        raise InvalidInputError("say why it is scrap", field="reason")
    if len(reason) > MOST_REASON:
        raise InvalidInputError(f"at most {MOST_REASON} characters", field="reason")
    return Word(
        said=said, build_id=build_id, by=by, reason=reason, material_mg=_milligrams(request)
    )


def _milligrams(request: dict[str, Any]) -> int | None:
    used = request.get("material_mg")
    if used is None:
        return None
    if type(used) is not int or not 0 <= used <= MOST_MG:
        raise InvalidInputError(f"from 0 to {MOST_MG} mg", field="material_mg")
    return used
