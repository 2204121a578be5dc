"""Machines with an OPC UA server. Reads only. Never tried on hardware: on servers in software.

The server tells every change (a subscription); one that cannot is asked every ``poll_s``.
"""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from device_bridge.dialects.named_values import Named, NamedValues, Value, named, states
from device_bridge.drivers.read_only import ReadOnlyDriver
from device_bridge.drivers.spec import DriverSpec, Option
from device_bridge.errors import DeviceError, DeviceRefusedError
from device_bridge.extras import extra
from device_bridge.machines import MachineConfig
from device_bridge.protocols import DeviceIdentity
from device_bridge.virtual.peers_reading import opcua_peer
from domain.node.states import Execution
from domain.shared.errors import InvalidInputError

if TYPE_CHECKING:
    from device_bridge.transports.opcua import OpcUaLink

POLL_S = 1.0


class OpcUaMachine(ReadOnlyDriver):
    """One server's variables under the names of a map."""

    def __init__(
        self,
        url: str,
        map: tuple[Named, ...],
        *,
        states: dict[str, Execution],
        user: str = "",
        password: str = "",
        poll_s: float = POLL_S,
    ) -> None:
        super().__init__()
        self._url = url
        self._map = map
        self._states = states
        self._user = user
        self._password = password
        self._poll_s = poll_s
        self._values = NamedValues(map, states=states)
        self._link: OpcUaLink | None = None
        self._linked = False
        self._polling: asyncio.Task[None] | None = None

    async def connect(self) -> DeviceIdentity:
        """Open, read every variable once, then follow the changes. Raises ``DeviceError``,
        ``ExtraMissingError`` without asyncua."""
        await self._close()
        with extra("industrial"):
            from device_bridge.transports.opcua import OpcUaLink
        self._values = NamedValues(self._map, states=self._states)
        link = self._link = OpcUaLink(
            self._url, user=self._user, password=self._password, lost=self._lose
        )
        try:
            told = await link.open()
            native = () if self._map else tuple(await link.variables())
            found = await self._read(link)
            self._linked = True
            self._take(found)
            if self._map:
                await self._follow(link)
        except BaseException:
            await self._close()
            raise
        return DeviceIdentity(
            firmware=f"OPC UA {told['PRODUCT']} {told['VERSION']}".strip(),
            dialect="opcua",
            capabilities={name: value for name, value in told.items() if value},
            native=native,
        )

    async def disconnect(self) -> None:
        """End the session."""
        await self._close()
        self._gone()

    async def _read(self, link: "OpcUaLink") -> list[tuple[Named, Value]]:
        values = await link.read([entry.place for entry in self._map]) if self._map else []
        return list(zip(self._map, values, strict=True))

    async def _follow(self, link: "OpcUaLink") -> None:
        try:
            await link.follow(self._changed)
        except DeviceRefusedError:
            self._polling = asyncio.get_running_loop().create_task(self._poll(link))

    async def _poll(self, link: "OpcUaLink") -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                self._take(await self._read(link))
            except DeviceError as problem:
                self._lose(problem)
                return

    def _changed(self, number: int, value: Value) -> None:
        self._take([(self._map[number], value)])

    def _take(self, said: Iterable[tuple[Named, Value]]) -> None:
        if not self._linked:
            return
        readings, absent = self._values.fold(said)
        self._take_in(readings, absent, self._values.status())

    def _lose(self, error: DeviceError) -> None:
        """Told also when the server had called its machine unavailable before it went itself."""
        if self._linked:
            self._linked = False
            self._tell_lost(error)

    async def _close(self) -> None:
        self._linked = False
        polling, self._polling = self._polling, None
        if polling is not None:
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
        link, self._link = self._link, None
        if link is not None:
            await link.close()
        self._state.metrics.clear()


def _make(machine: MachineConfig) -> OpcUaMachine:
    options = machine.options
    try:
        poll_s = float(options.get("poll_s") or POLL_S)
    except ValueError as problem:
        raise InvalidInputError("poll_s is a number of seconds", field="poll_s") from problem
    return OpcUaMachine(
        machine.port,
        named(options.get("map", "")),
        states=states(options.get("states", "")),
        user=options.get("user", ""),
        password=options.get("password", ""),
        poll_s=min(max(poll_s, 0.02), 3600.0),
    )


DRIVER = DriverSpec(
    name="opcua",
    title="machines with an OPC UA server (read only)",
    schemes=("opc.tcp",),
    make=_make,
    read_only=True,
    peer=opcua_peer,
    options=(
        Option(name="map", help="NAME=NODEID[|SCALE] with commas; empty lists the variables"),
        Option(name="states", help="the machine's words for execution: 0:READY,1:ACTIVE"),
        Option(name="user", help="who reads; empty is anonymous"),
        Option(name="password", help="the user's password", secret=True),
        Option(name="poll_s", help="seconds between readings without subscription", default="1"),
    ),
)
