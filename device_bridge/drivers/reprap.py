"""Printers with RepRapFirmware or firmware like it. Never tried on hardware.

On a serial line commands are numbered as for Marlin; over TCP, which loses nothing, they are not.
``M112`` is obeyed at once by RepRapFirmware whatever else it does, which its documents say.
"""

import asyncio
import contextlib

from device_bridge.certify.peers import printer_peer
from device_bridge.dialects.plain_stream import PlainStream
from device_bridge.drivers.marlin import MarlinPrinter
from device_bridge.drivers.spec import DriverSpec, Quality, scheme_of
from device_bridge.errors import DeviceError, LinkLostError, PortError, SilentDeviceError
from device_bridge.machines import MachineConfig
from device_bridge.protocols import DeviceDriver, DeviceIdentity
from device_bridge.transports.choosing import BYTE_SCHEMES, boot_s, transport_to

AT_ONCE = "RepRapFirmware"
LOOK_S = 0.5
RESTART_S = 20.0


class RepRapPrinter(MarlinPrinter):
    """A printer that takes Marlin's commands and has none of its conveniences."""

    before = ("M400",)
    after = ("M400",)

    async def clear_fault(self, operator: str) -> DeviceIdentity:
        """``M999`` restarts a halted board; shake hands as soon as it is back."""
        if not operator:
            raise DeviceError("a fault is cleared by a person", field="operator")
        self._wire.close()
        self._wire.open()
        await asyncio.sleep(self._boot_s)
        with contextlib.suppress(LinkLostError):  # then it is restarting already
            self._wire.say("M999")
        give_up = asyncio.get_running_loop().time() + RESTART_S
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                return await super().clear_fault(operator)
            except (LinkLostError, PortError, SilentDeviceError):
                if asyncio.get_running_loop().time() > give_up:
                    raise

    async def _probe(self) -> None:
        await super()._probe()
        if AT_ONCE in self._state.identity().firmware:
            self._state.capabilities["EMERGENCY_PARSER"] = True


def _make(machine: MachineConfig) -> DeviceDriver:
    stream = PlainStream() if scheme_of(machine.port) == "tcp" else None
    return RepRapPrinter(transport_to(machine), boot_s=boot_s(machine), stream=stream)


DRIVER = DriverSpec(
    name="reprap",
    title="3D printers with RepRapFirmware or firmware like it",
    schemes=BYTE_SCHEMES,
    make=_make,
    quality=Quality.SILVER,
    peer=printer_peer("reprap", link="tcp", failing="error"),
)
