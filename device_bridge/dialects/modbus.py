"""Which Modbus registers hold which channel, and what their bits mean. Pure.

A map is written ``CHANNEL=FUNCTION:ADDRESS:TYPE[:SCALE[:ORDER]]``, several with commas, for example
``power_w=input:0x34:float32,energy_j=input:72:float32:3600000``. FUNCTION is ``input`` (code 4) or
``holding`` (code 3); ADDRESS counts from 0 as on the wire (not 30001); SCALE is the factor to the
channel's unit; ORDER says which of several registers comes first: ``big`` or ``little``.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from domain.shared.errors import InvalidInputError
from domain.telemetry.channels import unit_of

TYPES = MappingProxyType(
    {
        "int16": ">h",
        "uint16": ">H",
        "int32": ">i",
        "uint32": ">I",
        "int64": ">q",
        "uint64": ">Q",
        "float32": ">f",
        "float64": ">d",
    }
)
FUNCTIONS = frozenset({"input", "holding"})
ORDERS = frozenset({"big", "little"})
HIGHEST_ADDRESS = 0xFFFF
J_PER_KWH = 3_600_000
PRESETS = MappingProxyType(
    {
        "sdm120": (
            "voltage_v=input:0x00:float32,current_a=input:0x06:float32,"
            "power_w=input:0x0C:float32,mains_hz=input:0x46:float32,"
            f"energy_j=input:0x48:float32:{J_PER_KWH}"
        ),
        "sdm630": (
            "voltage_v=input:0x2A:float32,current_a=input:0x30:float32,"
            "power_w=input:0x34:float32,mains_hz=input:0x46:float32,"
            f"energy_j=input:0x48:float32:{J_PER_KWH}"
        ),
    }
)
"""Eastron's one-phase and three-phase meters, by their register tables; imported kWh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """One channel: where it stands and what it is."""

    channel: str
    function: str
    address: int
    type: str
    scale: float = 1.0
    order: str = "big"

    @property
    def count(self) -> int:
        """How many registers of 16 bits it takes."""
        return struct.calcsize(TYPES[self.type]) // 2

    def value(self, words: Sequence[int]) -> float | None:
        """The reading in the channel's unit; ``None`` when the bits are no number."""
        words = words if self.order == "big" else list(reversed(words))
        raw = b"".join(word.to_bytes(2, "big") for word in words)
        value = float(struct.unpack(TYPES[self.type], raw)[0]) * self.scale
        return value if math.isfinite(value) else None


def registers(map: str) -> tuple[Register, ...]:
    """The registers of a map or of a preset's name. Raises ``InvalidInputError``."""
    found = tuple(_register(text) for text in PRESETS.get(map, map).split(",") if text.strip())
    if not found:
        raise InvalidInputError(
            "which registers? a map is missing",
            field="map",
            remedy=f"name a preset ({', '.join(PRESETS)}) or CHANNEL=FUNCTION:ADDRESS:TYPE",
        )
    names = [register.channel for register in found]
    if len(set(names)) < len(names):
        raise InvalidInputError("a channel stands twice in the map", field="map")
    return found


def _register(text: str) -> Register:
    channel, _, place = text.strip().partition("=")
    try:
        function, address, type, *more = place.split(":")
        scale, order = [*more, *("1", "big")[len(more) :]]
        found = Register(
            channel=channel,
            function=function,
            address=int(address, 0),
            type=type,
            scale=float(scale),
            order=order,
        )
    except ValueError as problem:
        raise _unreadable(text, "CHANNEL=FUNCTION:ADDRESS:TYPE[:SCALE[:ORDER]]") from problem
    if not unit_of(channel):
        raise _unreadable(text, f"the name {channel!r} says no unit; power_w does")
    if function not in FUNCTIONS or type not in TYPES or order not in ORDERS:
        known = f"{', '.join(sorted(FUNCTIONS))}; {', '.join(TYPES)}; {', '.join(sorted(ORDERS))}"
        raise _unreadable(text, f"known are {known}")
    if not 0 <= found.address <= HIGHEST_ADDRESS - found.count + 1:
        raise _unreadable(text, "addresses are 0 to 65535")
    if not math.isfinite(found.scale):
        raise _unreadable(text, "the scale is a number")
    return found


def _unreadable(text: str, remedy: str) -> InvalidInputError:
    return InvalidInputError(f"{text[:80]} is no register", field="map", remedy=remedy)
