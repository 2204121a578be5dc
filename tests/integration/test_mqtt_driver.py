"""The MQTT driver on nats-server's own MQTT gateway, with a last will."""

import asyncio
import json
import re
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt import publish
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from device_bridge.certify.bench import until
from device_bridge.drivers.mqtt import DRIVER
from device_bridge.errors import NotAuthorizedError, PortError
from device_bridge.machines import MachineConfig
from device_bridge.protocols import DeviceEvent, LinkLost
from domain.node.states import Availability, Execution
from domain.shared.errors import InvalidInputError
from ops.hosting.binaries import nats_program

HOST = "127.0.0.1"
USER = {"username": "shop", "password": "press"}
MAP = (
    "availability=press/online,execution=press/state#/state,"
    "temperature.plate.actual_c=press/state#/temperatures/0,power_w=press/kilowatts|1000"
)
POWER = "power_w"
LISTENING = re.compile(r"Listening for MQTT clients on \S+:(\d+)")


class Broker:
    """A nats-server with its MQTT gateway switched on."""

    def __init__(self, folder: Path) -> None:
        self.port = 0
        self._log = folder / "nats.log"
        configuration = folder / "nats.conf"
        words = {
            "listen": f"{HOST}:-1",
            "server_name": "mqtt",
            "log_file": str(self._log),
            "jetstream": {"store_dir": str(folder / "store")},
            "mqtt": {"listen": f"{HOST}:-1"},
            "authorization": {"users": [{"user": "shop", "password": "press"}]},
        }
        configuration.write_text(json.dumps(words))
        self._process = subprocess.Popen(
            [str(nats_program(folder, None)), "-c", str(configuration)]
        )
        self._await_port()

    def publish(self, topic: str, payload: str, *, retain: bool = True) -> None:
        """A message of the machine, told when the broker has it."""
        publish.single(
            topic, payload, qos=1, retain=retain, hostname=HOST, port=self.port, auth=USER
        )

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(timeout=30)

    def _await_port(self) -> None:
        give_up = time.monotonic() + 30
        while time.monotonic() < give_up:
            found = LISTENING.search(self._log.read_text() if self._log.exists() else "")
            if found:
                self.port = int(found[1])
                return
            time.sleep(0.02)
        raise TimeoutError("no MQTT gateway")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    found = Broker(tmp_path)
    yield found
    found.stop()


def machine(port: int, **options: str) -> MachineConfig:
    own = {"map": MAP, "states": "idle:READY,run:ACTIVE", "user": "shop", "password": "press"}
    return MachineConfig(
        node_id="n",
        name="press",
        dialect="mqtt",
        port=f"mqtt://{HOST}:{port}",
        options={**own, **options},
    )


def pressing(broker: Broker) -> Client:
    """The machine itself, whose last will says that it is gone."""
    client = Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
    client.username_pw_set(USER["username"], USER["password"])
    client.will_set("press/online", "offline", qos=1, retain=True)
    client.connect(HOST, broker.port)
    client.loop_start()
    client.publish("press/online", "online", qos=1, retain=True).wait_for_publish(timeout=30)
    return client


async def test_retained_and_later_messages_are_told_and_a_last_will_makes_it_unavailable(
    broker: Broker,
) -> None:
    await asyncio.to_thread(broker.publish, "press/kilowatts", "0.115")
    press = await asyncio.to_thread(pressing, broker)
    driver = DRIVER.make(machine(broker.port))
    await driver.connect()
    try:
        await until(lambda: driver.get_telemetry().metrics == {POWER: 115.0}, "retained power")
        await until(lambda: driver.get_status().availability is Availability.AVAILABLE, "AVAILABLE")
        assert driver.get_status().execution is Execution.UNAVAILABLE
        state = json.dumps({"state": "run", "temperatures": [180.5]})
        await asyncio.to_thread(broker.publish, "press/state", state, retain=False)
        await until(lambda: driver.get_status().execution is Execution.ACTIVE, "ACTIVE")
        assert driver.get_telemetry().metrics["temperature.plate.actual_c"] == 180.5
        await asyncio.to_thread(broker.publish, "press/kilowatts", "unknown")
        await until(lambda: POWER not in driver.get_telemetry().metrics, "absent")
        _pull_the_plug(press)
        await until(lambda: driver.get_status().availability is Availability.UNAVAILABLE, "offline")
    finally:
        await asyncio.to_thread(press.loop_stop)
        await driver.disconnect()


def _pull_the_plug(press: Client) -> None:
    """A reset instead of a farewell: this is what a last will is for."""
    connection = press.socket()
    assert isinstance(connection, socket.socket)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RDWR)


async def test_a_broker_that_ends_is_a_lost_link_told_once(broker: Broker) -> None:
    told: list[DeviceEvent] = []
    driver = DRIVER.make(machine(broker.port))
    driver.listen(told.append)
    await driver.connect()
    await asyncio.to_thread(broker.stop)
    await until(lambda: any(isinstance(event, LinkLost) for event in told), "the loss")
    with pytest.raises(PortError):
        await driver.connect()
    await driver.disconnect()
    assert len([event for event in told if isinstance(event, LinkLost)]) == 1


async def test_a_wrong_password_is_said_to_be_one(broker: Broker) -> None:
    driver = DRIVER.make(machine(broker.port, password="wrong"))
    with pytest.raises(NotAuthorizedError):
        await driver.connect()
    assert driver.get_status().availability is Availability.UNAVAILABLE
    for wrong in ("mqtt://", "mqtt://host:port"):
        with pytest.raises(InvalidInputError):
            DRIVER.make(MachineConfig(node_id="n", name="m", dialect="mqtt", port=wrong))
