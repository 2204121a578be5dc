"""The SHDR driver on a virtual adapter: changes, heartbeat, silence."""

from collections.abc import AsyncIterator

import pytest

from device_bridge.certify.bench import until
from device_bridge.drivers import shdr
from device_bridge.drivers.shdr import DRIVER
from device_bridge.errors import LinkLostError, SilentDeviceError
from device_bridge.machines import MachineConfig
from device_bridge.protocols import DeviceEvent, LinkLost
from device_bridge.virtual.shdr import VirtualAdapter
from domain.node.states import Availability, Execution
from domain.shared.errors import InvalidInputError

LOAD = "spindle.load_pct"
MAP = f"availability=avail,execution=exec,position.x_mm=Xpos,{LOAD}=load"


@pytest.fixture
async def adapter() -> AsyncIterator[VirtualAdapter]:
    found = VirtualAdapter(beat_ms=250)
    found.plug()
    yield found
    found.unplug()


def machine(adapter: VirtualAdapter, **options: str) -> MachineConfig:
    return MachineConfig(
        node_id="n",
        name="mill",
        dialect="shdr",
        port=f"shdr://127.0.0.1:{adapter.number}",
        options={"map": MAP, "conditions": "system", **options},
    )


async def test_every_change_is_told_and_the_heartbeat_kept(adapter: VirtualAdapter) -> None:
    driver = DRIVER.make(machine(adapter))
    await driver.connect()
    await until(lambda: driver.get_telemetry().metrics.get(LOAD) == 3.0, "the first values")
    assert driver.get_status().execution is Execution.READY
    adapter.say("exec", "ACTIVE")
    adapter.tell("system|FAULT|E471|2||oil low")
    await until(lambda: bool(driver.get_status().conditions), "the fault")
    assert driver.get_status().execution is Execution.ACTIVE
    adapter.say("load", "UNAVAILABLE")
    await until(lambda: LOAD not in driver.get_telemetry().metrics, "absent")
    before = adapter.pings
    await until(lambda: adapter.pings > before + 2, "more pings")
    assert driver.get_status().availability is Availability.AVAILABLE
    await driver.disconnect()


async def test_an_adapter_that_falls_silent_is_a_lost_link_told_once(
    adapter: VirtualAdapter,
) -> None:
    told: list[DeviceEvent] = []
    driver = DRIVER.make(machine(adapter))
    driver.listen(told.append)
    await driver.connect()
    adapter.mute = True
    await until(lambda: any(isinstance(event, LinkLost) for event in told), "the loss")
    assert driver.get_status().availability is Availability.UNAVAILABLE
    adapter.mute = False
    adapter.say("load", "9")
    await driver.connect()
    await until(lambda: driver.get_telemetry().metrics.get(LOAD) == 9.0, "read again")
    await driver.disconnect()
    assert len([event for event in told if isinstance(event, LinkLost)]) == 1


async def test_an_adapter_without_a_heartbeat_may_be_silent() -> None:
    adapter = VirtualAdapter(beat_ms=None)
    adapter.plug()
    driver = DRIVER.make(machine(adapter))
    await driver.connect()
    adapter.say("load", "7")
    await until(lambda: driver.get_telemetry().metrics.get(LOAD) == 7.0, "a change")
    await driver.disconnect()
    adapter.unplug()


async def test_nobody_and_somebody_who_says_nothing_are_told_apart(
    adapter: VirtualAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shdr, "REPLY_S", 0.2)
    adapter.mute = True
    driver = DRIVER.make(machine(adapter))
    with pytest.raises(SilentDeviceError):
        await driver.connect()
    adapter.unplug()
    monkeypatch.setattr(shdr, "REPLY_S", 30.0)
    with pytest.raises(LinkLostError):
        await driver.connect()
    for wrong in ({"map": ""}, {"map": "load=load"}, {"states": "1:DANCING"}):
        with pytest.raises(InvalidInputError):
            DRIVER.make(machine(adapter, **wrong))
