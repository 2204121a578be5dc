"""Energy meters and other registers over Modbus. Reads only. Never tried on hardware: on servers.

A meter that belongs to one machine is better given to it: ``imewe bridge add --meter modbus://...``.
"""

import asyncio
from typing import TYPE_CHECKING

from device_bridge.dialects.modbus import Register, registers
from device_bridge.drivers.read_only import ReadOnlyDriver
from device_bridge.drivers.spec import DriverSpec, Option
from device_bridge.errors import DeviceError
from device_bridge.extras import extra
from device_bridge.machines import MachineConfig
from device_bridge.modbus_place import Place, place_at
from device_bridge.protocols import DeviceIdentity
from device_bridge.virtual.peers_reading import modbus_peer
from domain.shared.errors import InvalidInputError

if TYPE_CHECKING:
    from device_bridge.transports.modbus import ModbusLink

POLL_S = 1.0
MISSES = 3


class ModbusReader(ReadOnlyDriver):
    """One unit, whose registers are read once every ``poll_s``."""

    def __init__(self, place: Place, map: tuple[Register, ...], *, poll_s: float = POLL_S) -> None:
        super().__init__()
        self._place = place
        self._map = map
        self._poll_s = poll_s
        self._link: ModbusLink | None = None
        self._polling: asyncio.Task[None] | None = None

    async def connect(self) -> DeviceIdentity:
        """Open and read every register once: a wrong address is told now. Raises ``DeviceError``,
        ``ExtraMissingError`` without pymodbus."""
        await self._close()
        with extra("industrial"):
            from device_bridge.transports.modbus import ModbusLink
        link = self._link = ModbusLink(self._place)
        try:
            await link.open()
            found = await self._readings(link)
        except BaseException:
            await self._close()
            raise
        self._available()
        self._take(found)
        self._polling = asyncio.get_running_loop().create_task(self._poll(link))
        return DeviceIdentity(
            firmware=f"Modbus unit {self._place.unit}",
            dialect="modbus_meter",
            capabilities={"CHANNELS": len(self._map), "UNIT": self._place.unit},
        )

    async def disconnect(self) -> None:
        """Give the connection back."""
        await self._close()
        self._gone()

    async def _readings(self, link: "ModbusLink") -> dict[str, float | None]:
        return {register.channel: await link.read(register) for register in self._map}

    def _take(self, found: dict[str, float | None]) -> None:
        for name in [name for name, value in found.items() if value is None]:
            self._state.metrics.pop(name, None)
        if readings := {name: value for name, value in found.items() if value is not None}:
            self._state.measured(readings)

    async def _poll(self, link: "ModbusLink") -> None:
        misses = 0
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                self._take(await self._readings(link))
                misses = 0
            except DeviceError as problem:
                misses += 1
                if misses >= MISSES:
                    self._lose(problem)
                    return

    async def _close(self) -> None:
        polling, self._polling = self._polling, None
        if polling is not None:
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
        link, self._link = self._link, None
        if link is not None:
            link.close()
        self._state.metrics.clear()


def _make(machine: MachineConfig) -> ModbusReader:
    options = machine.options
    try:
        poll_s = float(options.get("poll_s") or POLL_S)
    except ValueError as problem:
        raise InvalidInputError("poll_s is a number of seconds", field="poll_s") from problem
    place = place_at(machine.port, {"baudrate": str(machine.baudrate), **options})
    return ModbusReader(
        place, registers(options.get("map", "")), poll_s=min(max(poll_s, 0.02), 3600.0)
    )


DRIVER = DriverSpec(
    name="modbus_meter",
    title="energy meters over Modbus, TCP or serial (read only)",
    schemes=("tcp", "serial"),
    make=_make,
    read_only=True,
    peer=modbus_peer,
    options=(
        Option(name="map", help="sdm120, sdm630 or CHANNEL=FUNCTION:ADDRESS:TYPE[:SCALE[:ORDER]]"),
        Option(name="unit", help="the unit's number", default="1"),
        Option(name="rtu", help="yes: serial framing over TCP, as plain gateways have it"),
        Option(name="parity", help="of a serial line: N, E or O", default="N"),
        Option(name="poll_s", help="seconds between two readings", default="1"),
    ),
)
