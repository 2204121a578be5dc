"""Values that machines keep under names of their own, told in ours. Pure.

A map is written ``NAME=PLACE[|SCALE]``, several with commas or one a line. NAME is a canonical
channel (``temperature.spindle.actual_c``) or one of ``ROLES``; PLACE is whatever the driver reads.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from device_bridge.protocols import Condition, DeviceStatus
from domain.node.states import Availability, ConditionLevel, EmergencyStop, Execution
from domain.shared.errors import InvalidInputError
from domain.telemetry.channels import unit_of

ROLES = frozenset({"availability", "execution", "emergency_stop", "fault"})
"""Names that stand for the machine's state and not for a reading."""
YES = frozenset({"true", "1", "on", "yes", "online", "available", "triggered"})
NO = frozenset({"", "false", "0", "off", "no", "none", "offline", "unavailable", "armed", "normal"})
LONGEST_TEXT = 200

Value = bool | int | float | str | None
"""``None``: there is no such value now, or it is known to be wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """One entry of a map."""

    name: str
    place: str
    scale: float = 1.0


def named(map: str) -> tuple[Named, ...]:
    """The entries of a map; none of an empty one. Raises ``InvalidInputError``."""
    found = tuple(_named(text) for text in re.split(r"[,\n]", map) if text.strip())
    names = [each.name for each in found]
    if len(set(names)) < len(names):
        raise InvalidInputError("a name stands twice in the map", field="map")
    return found


def states(text: str) -> dict[str, Execution]:
    """``0:READY,1:ACTIVE`` as a table of the machine's words. Raises ``InvalidInputError``."""
    found: dict[str, Execution] = {}
    for pair in text.split(","):
        native, colon, word = pair.strip().rpartition(":")
        if not colon and not word:
            continue
        if not native or word not in set(Execution):
            raise InvalidInputError(
                f"{pair[:40]} is no state",
                field="states",
                remedy=f"NATIVE:WORD; words are {', '.join(Execution)}",
            )
        found[native] = Execution(word)
    return found


class NamedValues:
    """A machine as its named values tell it; without an execution it is READY."""

    def __init__(self, map: Iterable[Named], *, states: Mapping[str, Execution]) -> None:
        self._mapped = {each.name for each in map} & ROLES
        self._states = states
        self._roles: dict[str, Value] = {}

    def fold(self, said: Iterable[tuple[Named, Value]]) -> tuple[dict[str, float], set[str]]:
        """New readings by channel, and the channels that have none any more."""
        readings: dict[str, float] = {}
        absent: set[str] = set()
        for entry, value in said:
            if entry.name in ROLES:
                self._roles[entry.name] = value
                continue
            number = _number(value)
            if number is None:
                readings.pop(entry.name, None)
                absent.add(entry.name)
            else:
                absent.discard(entry.name)
                readings[entry.name] = number * entry.scale
        return readings, absent

    def status(self) -> DeviceStatus:
        """The four items, of a machine whose link is there."""
        if "availability" in self._mapped and not _says(self._roles.get("availability"), YES):
            return DeviceStatus(conditions=self._conditions())
        stopped = _says(self._roles.get("emergency_stop"), YES)
        return DeviceStatus(
            availability=Availability.AVAILABLE,
            execution=self._execution(),
            emergency_stop=EmergencyStop.TRIGGERED if stopped else EmergencyStop.ARMED,
            conditions=self._conditions(),
        )

    def _execution(self) -> Execution:
        if "execution" not in self._mapped:
            return Execution.READY
        word = str(self._roles.get("execution"))
        if word in self._states:
            return self._states[word]
        return Execution(word) if word in set(Execution) else Execution.UNAVAILABLE

    def _conditions(self) -> tuple[Condition, ...]:
        fault = self._roles.get("fault")
        if fault is None or _says(fault, NO):
            return ()
        text = str(fault)[:LONGEST_TEXT]
        return (Condition(level=ConditionLevel.FAULT, type="SYSTEM", code=text[:40], text=text),)


def _named(text: str) -> Named:
    name, _, place = text.strip().partition("=")
    place, _, scale = place.partition("|")
    try:
        found = Named(name=name.strip(), place=place.strip(), scale=float(scale or 1.0))
    except ValueError as problem:
        raise InvalidInputError(f"{scale[:40]} is no scale", field="map") from problem
    if not found.place or not math.isfinite(found.scale):
        raise InvalidInputError(
            f"{text[:80]} says no place", field="map", remedy="NAME=PLACE[|SCALE]"
        )
    if found.name not in ROLES and not unit_of(found.name):
        raise InvalidInputError(
            f"the name {found.name[:80]!r} says no unit",
            field="map",
            remedy=f"power_w does; or a role: {', '.join(sorted(ROLES))}",
        )
    return found


def _number(value: Value) -> float | None:
    try:
        number = float(value) if value is not None else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _says(value: Value, words: frozenset[str]) -> bool:
    return str(value).strip().lower() in words
