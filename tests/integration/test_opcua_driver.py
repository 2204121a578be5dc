"""The OPC UA driver on asyncua's own server: one server for all, since each takes a second."""

import pytest

from device_bridge.certify.bench import until
from device_bridge.drivers.opcua import DRIVER
from device_bridge.errors import DeviceRefusedError, PortError
from device_bridge.machines import MachineConfig
from device_bridge.protocols import DeviceEvent, LinkLost
from device_bridge.transports.opcua import OpcUaLink
from device_bridge.virtual.opcua import MAP, SPACE, STATES, VirtualOpcUa
from domain.node.states import Availability, EmergencyStop, Execution
from domain.shared.errors import InvalidInputError

SPINDLE = "temperature.spindle.actual_c"


def machine(port: int, **options: str) -> MachineConfig:
    return MachineConfig(
        node_id="n",
        name="m",
        dialect="opcua",
        port=f"opc.tcp://127.0.0.1:{port}/imewe/",
        options={"map": MAP, "states": STATES, "poll_s": "0.05", **options},
    )


async def test_a_server_is_followed_and_its_loss_told(monkeypatch: pytest.MonkeyPatch) -> None:
    server = VirtualOpcUa()
    await server.start()
    try:
        await _variables_are_listed_and_wrong_ones_named(server)
        await _followed(server)
        with monkeypatch.context() as patch:
            patch.setattr(OpcUaLink, "follow", _no_subscriptions)
            await _followed(server)
        await _lost(server)
    finally:
        await server.stop()


async def _no_subscriptions(self: OpcUaLink, changed: object) -> None:
    raise DeviceRefusedError("this server has no subscriptions")


async def _variables_are_listed_and_wrong_ones_named(server: VirtualOpcUa) -> None:
    """Without a map the driver says what there is to map."""
    driver = DRIVER.make(machine(server.relay.port, map=""))
    identity = await driver.connect()
    assert [line for line in identity.native if line.endswith("/Machine/Feed")]
    assert driver.get_telemetry().metrics == {}
    await driver.disconnect()
    for wrong in (
        f"x_c=nsu={SPACE};s=Nothing",
        "x_c=ns=9;i=1",
        "x_c=rubbish",
        "x_c=nsu=urn:no;i=1",
    ):
        driver = DRIVER.make(machine(server.relay.port, map=wrong))
        with pytest.raises(DeviceRefusedError):
            await driver.connect()
        assert driver.get_status().availability is Availability.UNAVAILABLE


async def _followed(server: VirtualOpcUa) -> None:
    """Every change arrives; a variable that the server calls bad is absent."""
    driver = DRIVER.make(machine(server.relay.port))
    await driver.connect()
    metrics = driver.get_telemetry().metrics
    assert metrics[SPINDLE] == 41.5
    assert metrics["feedrate_mm_s"] == pytest.approx(10.0)
    assert driver.get_status().execution is Execution.READY
    await server.say("State", 1)
    await server.say("Alarm", "E471 oil low")
    await until(lambda: driver.get_status().execution is Execution.ACTIVE, "ACTIVE")
    await until(lambda: bool(driver.get_status().conditions), "the fault")
    await server.spoil("Spindle.Temperature")
    await until(lambda: SPINDLE not in driver.get_telemetry().metrics, "absent")
    await server.say("Spindle.Temperature", 50.0)
    await until(lambda: driver.get_telemetry().metrics.get(SPINDLE) == 50.0, "back")
    await server.say("Stop", True)
    await until(lambda: driver.get_status().emergency_stop is EmergencyStop.TRIGGERED, "TRIGGERED")
    for name, value in (
        ("State", 0),
        ("Alarm", ""),
        ("Stop", False),
        ("Spindle.Temperature", 41.5),
    ):
        await server.say(name, value)
    await driver.disconnect()


async def _lost(server: VirtualOpcUa) -> None:
    told: list[DeviceEvent] = []
    driver = DRIVER.make(machine(server.relay.port))
    driver.listen(told.append)
    await driver.connect()
    server.relay.unplug()
    await until(lambda: any(isinstance(event, LinkLost) for event in told), "the loss")
    with pytest.raises(PortError):
        await driver.connect()
    await server.relay.plug()
    await driver.connect()
    assert driver.get_status().availability is Availability.AVAILABLE
    await driver.disconnect()
    assert len([event for event in told if isinstance(event, LinkLost)]) == 1


def test_a_map_is_refused_before_anybody_is_asked() -> None:
    with pytest.raises(InvalidInputError):
        DRIVER.make(machine(1, map="spindle=ns=2;i=1"))
    with pytest.raises(InvalidInputError):
        DRIVER.make(machine(1, states="1:DANCING"))
