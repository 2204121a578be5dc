"""What a machine's power meter is asked, and the virtual meter on a line of its own."""

import asyncio
import re
from dataclasses import dataclass
from typing import Protocol

from device_bridge.dialects.lines import LineBuffer
from device_bridge.errors import DeviceError, SilentDeviceError
from device_bridge.protocols import Transport

REPLY_S = 2.0
_READING = re.compile(r"VIRTUAL-METER W=(-?\d+(?:\.\d+)?) J=(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Watts now and joules since the meter was made."""

    power_w: float
    energy_j: float


class Meter(Protocol):
    """Any meter. ``source`` says in the records who measured: ``meter`` or ``virtual meter``."""

    source: str

    async def read(self) -> Reading:
        """One reading. Raises ``DeviceError``."""

    def close(self) -> None:
        """Give the line back; the next reading opens it anew."""


class PowerMeter:
    """Asks ``READ``, is answered ``VIRTUAL-METER W=123.4 J=56789.0``."""

    source = "virtual meter"

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lines = LineBuffer()
        self._answer: asyncio.Future[Reading] | None = None
        self._open = False

    async def read(self) -> Reading:
        """One reading. Raises ``PortError``, ``LinkLostError``, ``SilentDeviceError``."""
        if not self._open:
            self._transport.open(self._receive, self._lose)
            self._open = True
        self._answer = asyncio.get_running_loop().create_future()
        try:
            self._transport.write(b"READ\n")
            return await asyncio.wait_for(self._answer, REPLY_S)
        except TimeoutError as silent:
            raise SilentDeviceError("the meter does not answer") from silent
        finally:
            self._answer = None

    def close(self) -> None:
        """Give the port back."""
        self._transport.close()
        self._open = False

    def _receive(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            match = _READING.fullmatch(line.strip())
            if match and self._answer is not None and not self._answer.done():
                self._answer.set_result(Reading(power_w=float(match[1]), energy_j=float(match[2])))

    def _lose(self, error: DeviceError) -> None:
        self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
