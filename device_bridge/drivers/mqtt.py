"""Sensors and machines that tell themselves by MQTT. Reads only. Never tried on hardware.

The broker is nats-server with its MQTT gateway, any other one, or the machine itself.
"""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from device_bridge.dialects.mqtt import Topics
from device_bridge.dialects.named_values import Named, NamedValues, named, states
from device_bridge.drivers.read_only import ReadOnlyDriver
from device_bridge.drivers.spec import DriverSpec, Option
from device_bridge.errors import DeviceError
from device_bridge.extras import extra
from device_bridge.machines import MachineConfig
from device_bridge.protocols import DeviceIdentity
from device_bridge.virtual.peers_reading import mqtt_peer
from domain.node.states import Execution
from domain.shared.errors import InvalidInputError

if TYPE_CHECKING:
    from device_bridge.transports.mqtt import MqttLink

PORT = 1883
TLS_PORT = 8883


class MqttMachine(ReadOnlyDriver):
    """Some topics of a broker under the names of a map."""

    def __init__(
        self,
        url: str,
        map: tuple[Named, ...],
        *,
        states: dict[str, Execution],
        user: str = "",
        password: str = "",
        tls: bool = False,
    ) -> None:
        super().__init__()
        try:
            parts = urlsplit(url)
            self._host = parts.hostname or ""
            self._port = parts.port or (TLS_PORT if tls else PORT)
        except ValueError as problem:
            raise InvalidInputError(f"{url[:80]} is no address", field="port") from problem
        if not self._host:
            raise InvalidInputError("a broker's address is mqtt://HOST:1883", field="port")
        self._map = map
        self._topics = Topics(map)
        self._states = states
        self._user = user
        self._password = password
        self._tls = tls
        self._values = NamedValues(map, states=states)
        self._link: MqttLink | None = None
        self._linked = False

    async def connect(self) -> DeviceIdentity:
        """Connect and subscribe; retained messages follow. Raises ``DeviceError``,
        ``ExtraMissingError`` without paho-mqtt."""
        await self._close()
        with extra("industrial"):
            from device_bridge.transports.mqtt import MqttLink
        self._values = NamedValues(self._map, states=self._states)
        link = self._link = MqttLink(
            host=self._host,
            port=self._port,
            user=self._user,
            password=self._password,
            tls=self._tls,
            heard=self._heard,
            lost=self._lose,
        )
        self._linked = True
        try:
            await link.open(self._topics)
        except BaseException:
            await self._close()
            raise
        self._state.become(self._values.status())
        return DeviceIdentity(
            firmware="MQTT 3.1.1",
            dialect="mqtt",
            capabilities={"TOPICS": len(list(self._topics)), "CHANNELS": len(self._map)},
        )

    async def disconnect(self) -> None:
        """End the connection."""
        await self._close()
        self._gone()

    def _heard(self, topic: str, payload: bytes) -> None:
        readings, absent = self._values.fold(self._topics.said(topic, payload))
        self._take_in(readings, absent, self._values.status())

    def _lose(self, error: DeviceError) -> None:
        """Told also when the machine had been called offline before its broker went."""
        if self._linked:
            self._linked = False
            self._tell_lost(error)

    async def _close(self) -> None:
        self._linked = False
        link, self._link = self._link, None
        if link is not None:
            await link.close()
        self._state.metrics.clear()


def _make(machine: MachineConfig) -> MqttMachine:
    options = machine.options
    return MqttMachine(
        machine.port,
        named(options.get("map", "")),
        states=states(options.get("states", "")),
        user=options.get("user", ""),
        password=options.get("password", ""),
        tls=options.get("tls", "") == "yes",
    )


DRIVER = DriverSpec(
    name="mqtt",
    title="sensors and machines by MQTT topics (read only)",
    schemes=("mqtt",),
    make=_make,
    read_only=True,
    peer=mqtt_peer,
    options=(
        Option(name="map", help="NAME=TOPIC[#/JSON/POINTER][|SCALE], with commas"),
        Option(name="states", help="the machine's words for execution: 0:READY,1:ACTIVE"),
        Option(name="user", help="who reads; empty is anonymous"),
        Option(name="password", help="the user's password", secret=True),
        Option(name="tls", help="yes: encrypted, with a certificate that this computer trusts"),
    ),
)
