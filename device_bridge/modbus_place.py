"""Where a Modbus unit is: an address or a serial line, and its number there."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, urlsplit

from domain.shared.errors import InvalidInputError

PORT = 502
HIGHEST_UNIT = 255
PARITIES = frozenset({"N", "E", "O"})
SETTINGS = frozenset({"unit", "rtu", "baudrate", "parity"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Either ``host`` or ``path`` is set. ``rtu``: serial framing over TCP, as plain gateways
    have it."""

    host: str = ""
    port: int = PORT
    path: str = ""
    unit: int = 1
    rtu: bool = False
    baudrate: int = 9600
    parity: str = "N"

    @property
    def name(self) -> str:
        """For messages."""
        return self.path or f"{self.host}:{self.port}"


def place_at(address: str, settings: Mapping[str, str]) -> Place:
    """Of ``tcp://host:port`` or a serial port's path. Raises ``InvalidInputError``."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port or PORT
        unit, baudrate = int(settings.get("unit") or 1), int(settings.get("baudrate") or 9600)
    except ValueError as problem:
        raise InvalidInputError(
            f"{address[:80]} is no Modbus address: {problem}", field="port"
        ) from problem
    path = "" if parts.scheme else address
    parity = (settings.get("parity") or "N").upper()
    if not (host or path):
        raise InvalidInputError(f"{address[:80]} names neither host nor port", field="port")
    if not 0 <= unit <= HIGHEST_UNIT or parity not in PARITIES or baudrate <= 0:
        raise InvalidInputError(
            f"unit {unit}, parity {parity[:8]}, {baudrate} baud: one of these cannot be",
            field="option",
            remedy="unit 0 to 255; parity N, E or O",
        )
    rtu = settings.get("rtu", "") == "yes"
    return Place(
        host=host, port=port, path=path, unit=unit, rtu=rtu, baudrate=baudrate, parity=parity
    )


def place_in(url: str) -> tuple[Place, str]:
    """Of ``modbus://host:502?unit=1&map=sdm120`` or ``modbus:///dev/ttyUSB0?...``, with its map.

    Raises ``InvalidInputError``.
    """
    parts: SplitResult = urlsplit(url)
    settings = dict(parse_qsl(parts.query))
    map = settings.pop("map", "")
    if strange := set(settings) - SETTINGS:
        raise InvalidInputError(
            f"a meter has no {', '.join(sorted(strange))[:80]}",
            field="meter",
            remedy=f"it has map, {', '.join(sorted(SETTINGS))}",
        )
    address = f"tcp://{parts.netloc}" if parts.netloc else parts.path
    return place_at(address, settings), map
