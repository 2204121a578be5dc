"""What an MTConnect device says, folded into a status and into canonical channels. Pure."""

import math
import re
from collections.abc import Iterable
from types import MappingProxyType

from device_bridge.dialects.mtconnect import UNAVAILABLE, DataItem, Device, Observation
from device_bridge.protocols import Condition, DeviceStatus
from domain.node.states import Availability, ConditionLevel, EmergencyStop, Execution

UNITS = MappingProxyType(
    {
        "CELSIUS": ("_c", 1.0),
        "MILLIMETER": ("_mm", 1.0),
        "MILLIMETER/SECOND": ("_mm_s", 1.0),
        "MILLIMETER/SECOND^2": ("_mm_s2", 1.0),
        "REVOLUTION/MINUTE": ("_rpm", 1.0),
        "REVOLUTION/SECOND": ("_rpm", 60.0),
        "HERTZ": ("_hz", 1.0),
        "WATT": ("_w", 1.0),
        "JOULE": ("_j", 1.0),
        "WATT_SECOND": ("_j", 1.0),
        "VOLT": ("_v", 1.0),
        "AMPERE": ("_a", 1.0),
        "GRAM": ("_g", 1.0),
        "KILOGRAM": ("_g", 1000.0),
        "SECOND": ("_s", 1.0),
        "PASCAL": ("_pa", 1.0),
        "PERCENT": ("_pct", 1.0),
    }
)
"""How a unit ends a channel's name, and the factor to that name's unit. Others are left out."""
PLAIN = MappingProxyType(
    {
        "PATH_FEEDRATE": "feedrate_mm_s",
        "PATH_FEEDRATE_OVERRIDE": "override_feed_pct",
        "ROTARY_VELOCITY": "spindle_rpm",
        "SPINDLE_SPEED": "spindle_rpm",
        "WATTAGE": "power_w",
        "ELECTRICAL_POWER": "power_w",
        "ELECTRICAL_ENERGY": "energy_j",
        "VOLTAGE": "voltage_v",
        "VOLTAGE_AC": "voltage_v",
        "VOLTAGE_DC": "voltage_v",
        "AMPERAGE": "current_a",
        "AMPERAGE_AC": "current_a",
        "AMPERAGE_DC": "current_a",
    }
)
MEASURED = frozenset({"", "ACTUAL"})
WORDS = MappingProxyType(
    {"PROGRAM_OPTIONAL_STOP": Execution.OPTIONAL_STOP, "IDLE": Execution.READY}
)
"""Words of other versions for what has a word of ours."""


def channels_of(device: Device) -> dict[str, tuple[str, float]]:
    """Channel and factor per data item that is a number with a unit known here.

    The first item of a kind has the canonical name; the next ones carry their component's.
    """
    named: dict[str, tuple[str, float]] = {}
    taken: set[str] = set()
    for item in device.items.values():
        if item.units in UNITS:
            suffix, factor = UNITS[item.units]
            names = (_canonical(item), _general(item, suffix), _slug(item.id) + suffix)
            name = next((name for name in names if name and name not in taken), "")
            if name.endswith(suffix):
                taken.add(name)
                named[item.id] = (name, factor)
    return named


class View:
    """One device as last told. ``path`` names the controller path whose execution counts; the
    first one does when it is empty."""

    def __init__(self, device: Device, *, path: str = "") -> None:
        self._items = device.items
        self._channels = channels_of(device)
        self._words: dict[str, str] = {}
        self._active: dict[tuple[str, str], Condition] = {}
        self._availability = self._first("AVAILABILITY")
        self._execution = self._first("EXECUTION", path=path)
        self._stop = self._first("EMERGENCY_STOP")

    def fold(self, said: Iterable[Observation]) -> tuple[dict[str, float], set[str]]:
        """New readings by channel, and the channels that have none any more."""
        readings: dict[str, float] = {}
        absent: set[str] = set()
        for one in said:
            item = self._items.get(one.item_id)
            if item is None:
                continue
            if item.category == "CONDITION":
                self._condition(item, one)
            elif one.item_id in self._channels:
                self._reading(one, readings, absent)
            else:
                self._words[one.item_id] = one.value
        return readings, absent

    def status(self) -> DeviceStatus:
        """The four items. A device without AVAILABILITY is there while its agent answers."""
        word = self._words.get(self._availability, UNAVAILABLE)
        conditions = tuple(self._active.values())
        if self._availability and word != Availability.AVAILABLE:
            return DeviceStatus(conditions=conditions)
        triggered = self._words.get(self._stop) == EmergencyStop.TRIGGERED
        return DeviceStatus(
            availability=Availability.AVAILABLE,
            execution=_execution(self._words.get(self._execution, UNAVAILABLE)),
            emergency_stop=EmergencyStop.TRIGGERED if triggered else EmergencyStop.ARMED,
            conditions=conditions,
        )

    def _first(self, type: str, *, path: str = "") -> str:
        fits = (i.id for i in self._items.values() if i.type == type and path in ("", i.path))
        return next(fits, "")

    def _reading(self, one: Observation, readings: dict[str, float], absent: set[str]) -> None:
        name, factor = self._channels[one.item_id]
        value = _finite(one.value)
        if value is None:
            absent.add(name)
            readings.pop(name, None)
        else:
            absent.discard(name)
            readings[name] = value * factor

    def _condition(self, item: DataItem, one: Observation) -> None:
        """NORMAL without a code ends all of an item's conditions, with a code that one."""
        code = one.condition_id or one.native_code
        if one.level in {"NORMAL", UNAVAILABLE, ""}:
            ended = [key for key in self._active if key[0] == item.id and code in ("", key[1])]
            for key in ended:
                del self._active[key]
            return
        self._active[item.id, code] = Condition(
            level=ConditionLevel(one.level),
            type=item.type or "SYSTEM",
            code=one.native_code or one.condition_id or item.id,
            text=one.value,
        )


def _execution(word: str) -> Execution:
    if word in WORDS:
        return WORDS[word]
    return Execution(word) if word in set(Execution) else Execution.UNAVAILABLE


def _finite(text: str) -> float | None:
    """The newest value of a series; ``None`` for UNAVAILABLE and for what is no number."""
    try:
        value = float(text.split()[-1])
    except (ValueError, IndexError):
        return None
    return value if math.isfinite(value) else None


def _canonical(item: DataItem) -> str:
    if item.type == "TEMPERATURE":
        target = item.sub_type in {"TARGET", "COMMANDED", "PROGRAMMED"}
        return f"temperature.{_part(item)}.{'target' if target else 'actual'}_c"
    if item.type == "PATH_FEEDRATE_OVERRIDE" or item.sub_type in MEASURED:
        if item.type == "POSITION" and item.component == "Linear":
            return f"position.{_part(item)}_mm"
        return PLAIN.get(item.type, "")
    return ""


def _general(item: DataItem, suffix: str) -> str:
    words = "_".join(word for word in (item.type, item.sub_type) if word)
    return f"{_part(item)}.{_slug(words)}{suffix}"


def _part(item: DataItem) -> str:
    return _slug(item.component_name or item.component or "device")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "item"
