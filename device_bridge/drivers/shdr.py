"""Machines whose MTConnect adapter is read without an agent. Reads only. Never tried on hardware.

An adapter tells everything when somebody connects, and then every change. One that answers a ping
is asked at its own pace, and counts as gone when nothing at all follows two pings in a row.
"""

import asyncio

from device_bridge.dialects.lines import LineBuffer
from device_bridge.dialects.named_values import Named, named, states
from device_bridge.dialects.shdr import LONGEST_LINE, PING, ShdrView, heartbeat_s
from device_bridge.drivers.read_only import ReadOnlyDriver
from device_bridge.drivers.spec import DriverSpec, Option
from device_bridge.errors import DeviceError, LinkLostError, SilentDeviceError
from device_bridge.machines import MachineConfig
from device_bridge.protocols import DeviceIdentity
from device_bridge.transports.tcp import TcpTransport, host_and_port
from device_bridge.virtual.peers_reading import shdr_peer
from domain.node.states import Execution
from domain.shared.errors import InvalidInputError

REPLY_S = 5.0
LEAST_S = 0.1
MOST_S = 3600.0
MOST_UNANSWERED = 2


class ShdrMachine(ReadOnlyDriver):
    """One adapter's keys under the names of a map."""

    def __init__(
        self,
        url: str,
        map: tuple[Named, ...],
        *,
        conditions: frozenset[str],
        states: dict[str, Execution],
    ) -> None:
        super().__init__()
        host_and_port(url)
        if not map:
            raise InvalidInputError("a map is missing", field="map", remedy="NAME=KEY[|SCALE]")
        self._transport = TcpTransport(url)
        self._map = map
        self._conditions = conditions
        self._states = states
        self._lines = LineBuffer(LONGEST_LINE)
        self._view = ShdrView(map, conditions=conditions, states=states)
        self._first: asyncio.Future[None] | None = None
        self._linked = False
        self._pinging: asyncio.Task[None] | None = None
        self._silent = True

    async def connect(self) -> DeviceIdentity:
        """Connect, ping, and wait for the first line. Raises ``DeviceError``."""
        self._close()
        loop = asyncio.get_running_loop()
        self._lines = LineBuffer(LONGEST_LINE)
        self._view = ShdrView(self._map, conditions=self._conditions, states=self._states)
        first = self._first = loop.create_future()
        self._transport.open(self._receive, self._lose)
        try:
            self._transport.write(PING)
            async with asyncio.timeout(REPLY_S):
                await first
        except TimeoutError as late:
            self._close()
            raise SilentDeviceError(f"{self._transport.path} says nothing") from late
        except BaseException:
            self._close()
            raise
        finally:
            self._first = None
        self._linked = True
        self._state.become(self._view.status())
        capabilities: dict[str, bool | int | float | str] = {"KEYS": len(self._map)}
        return DeviceIdentity(firmware="SHDR adapter", dialect="shdr", capabilities=capabilities)

    async def disconnect(self) -> None:
        """End the connection."""
        self._close()
        self._gone()

    def _receive(self, data: bytes) -> None:
        self._silent = False
        for line in self._lines.feed(data):
            if (beat_s := heartbeat_s(line)) is not None:
                self._beat(min(max(beat_s, LEAST_S), MOST_S))
            else:
                self._fold(line)
            if self._first is not None and not self._first.done():
                self._first.set_result(None)

    def _fold(self, line: str) -> None:
        readings, absent = self._view.fold(line)
        status = self._view.status() if self._linked else self._state.status
        self._take_in(readings, absent, status)

    def _beat(self, every_s: float) -> None:
        if self._pinging is None:
            self._pinging = asyncio.get_running_loop().create_task(self._ping(every_s))

    async def _ping(self, every_s: float) -> None:
        unanswered = 0
        while unanswered < MOST_UNANSWERED:
            self._silent = True
            try:
                self._transport.write(PING)
            except LinkLostError:
                return  # the transport tells it
            await asyncio.sleep(every_s)
            unanswered = unanswered + 1 if self._silent else 0
        self._transport.close()
        self._lose(LinkLostError(f"{self._transport.path} answers no ping"))

    def _lose(self, error: DeviceError) -> None:
        """Told also when the adapter had called its machine unavailable before it went itself."""
        if self._first is not None and not self._first.done():
            self._first.set_exception(error)
        elif self._linked:
            self._linked = False
            self._tell_lost(error)

    def _close(self) -> None:
        self._linked = False
        if self._pinging is not None:
            self._pinging.cancel()
            self._pinging = None
        self._transport.close()
        self._state.metrics.clear()


def _make(machine: MachineConfig) -> ShdrMachine:
    options = machine.options
    conditions = (key.strip() for key in options.get("conditions", "").split(","))
    return ShdrMachine(
        machine.port,
        named(options.get("map", "")),
        conditions=frozenset(key for key in conditions if key),
        states=states(options.get("states", "")),
    )


DRIVER = DriverSpec(
    name="shdr",
    title="MTConnect adapters without an agent (read only)",
    schemes=("shdr", "tcp"),
    make=_make,
    read_only=True,
    peer=shdr_peer,
    options=(
        Option(name="map", help="NAME=KEY[|SCALE], with commas"),
        Option(name="conditions", help="the keys that are conditions, with commas"),
        Option(name="states", help="the machine's words for execution: 0:READY,1:ACTIVE"),
    ),
)
