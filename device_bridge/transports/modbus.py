"""Registers of one Modbus unit, over TCP or a serial line. Needs the extra ``industrial``."""

import logging

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.framer import FramerType

from device_bridge.dialects.modbus import Register
from device_bridge.errors import DeviceRefusedError, LinkLostError, PortError, SilentDeviceError
from device_bridge.modbus_place import Place

TIMEOUT_S = 2.0
RETRIES = 1
logging.getLogger("pymodbus").setLevel(logging.CRITICAL + 1)  # it writes whole hex dumps


class ModbusLink:
    """One connection; it never comes back by itself."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._client = _client(place)

    async def open(self) -> None:
        """Raises ``PortError``."""
        if not await self._client.connect():
            raise PortError(f"{self._place.name} cannot be reached")

    async def read(self, register: Register) -> float | None:
        """One channel; ``None`` when it holds no number. Raises ``DeviceError``."""
        if not self._client.connected:
            raise LinkLostError(f"{self._place.name} is gone")
        ask = (
            self._client.read_input_registers
            if register.function == "input"
            else self._client.read_holding_registers
        )
        try:
            answer = await ask(register.address, count=register.count, device_id=self._place.unit)
        except ConnectionException as problem:
            raise LinkLostError(f"{self._place.name} is gone: {problem}") from problem
        except ModbusException as problem:
            if not self._client.connected:
                raise LinkLostError(f"{self._place.name} is gone: {problem}") from problem
            raise SilentDeviceError(f"{self._place.name} does not answer: {problem}") from problem
        if answer.isError():
            raise DeviceRefusedError(
                f"unit {self._place.unit} refuses {register.channel} at "
                f"{register.function} {register.address}: exception {answer.exception_code}"
            )
        if len(answer.registers) != register.count:
            raise DeviceRefusedError(f"unit {self._place.unit} answers too few registers")
        return register.value(answer.registers)

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()


def _client(place: Place) -> AsyncModbusTcpClient | AsyncModbusSerialClient:
    rtu = FramerType.RTU if place.rtu else FramerType.SOCKET
    if place.path:
        return AsyncModbusSerialClient(
            place.path,
            baudrate=place.baudrate,
            parity=place.parity,
            reconnect_delay=0,
            timeout=TIMEOUT_S,
            retries=RETRIES,
        )
    return AsyncModbusTcpClient(
        place.host,
        port=place.port,
        framer=rtu,
        reconnect_delay=0,
        timeout=TIMEOUT_S,
        retries=RETRIES,
    )
