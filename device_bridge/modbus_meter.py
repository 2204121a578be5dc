"""A machine's power meter that speaks Modbus, as ``modbus://host:502?unit=1&map=sdm120``."""

from typing import TYPE_CHECKING

from device_bridge.dialects.modbus import Register, registers
from device_bridge.errors import SilentDeviceError
from device_bridge.extras import extra
from device_bridge.meter import Reading
from device_bridge.modbus_place import place_in
from domain.shared.errors import InvalidInputError

if TYPE_CHECKING:
    from device_bridge.transports.modbus import ModbusLink


class ModbusMeter:
    """Reads ``power_w`` and ``energy_j`` of a map; both must be in it."""

    source = "meter"

    def __init__(self, url: str) -> None:
        self._place, map = place_in(url)
        found = {register.channel: register for register in registers(map)}
        if not {"power_w", "energy_j"} <= set(found):
            raise InvalidInputError(
                "a meter's map holds power_w and energy_j",
                field="meter",
                remedy="energy_j=input:72:float32:3600000 is a counter of kWh",
            )
        self._power, self._energy = found["power_w"], found["energy_j"]
        self._link: ModbusLink | None = None

    async def read(self) -> Reading:
        """One reading. Raises ``DeviceError``; ``ExtraMissingError`` without pymodbus."""
        link = self._link
        if link is None:
            with extra("industrial"):
                from device_bridge.transports.modbus import ModbusLink
            link = ModbusLink(self._place)
            await link.open()
            self._link = link
        return Reading(
            power_w=await _number(link, self._power), energy_j=await _number(link, self._energy)
        )

    def close(self) -> None:
        """Give the connection back; the next reading opens it anew."""
        link, self._link = self._link, None
        if link is not None:
            link.close()


async def _number(link: "ModbusLink", register: Register) -> float:
    value = await link.read(register)
    if value is None:
        raise SilentDeviceError(f"the meter has no {register.channel}")
    return value
