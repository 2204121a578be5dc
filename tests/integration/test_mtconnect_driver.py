"""The MTConnect driver on a virtual agent: every change once, also over gaps and restarts."""

from collections.abc import AsyncIterator

import pytest

from device_bridge.certify.bench import until
from device_bridge.drivers.mtconnect import MTConnectMachine
from device_bridge.errors import DeviceRefusedError
from device_bridge.protocols import DeviceEvent, LinkLost, Sampled, StatusChanged
from device_bridge.virtual.mtconnect import VirtualAgent
from domain.node.states import Availability, EmergencyStop, Execution
from domain.shared.errors import InvalidInputError

LOAD = "x.load_pct"


@pytest.fixture(params=[("1.3", False), ("2.3", True)], ids=["1.3", "2.3"])
async def agent(request: pytest.FixtureRequest) -> AsyncIterator[VirtualAgent]:
    version, strict = request.param
    found = VirtualAgent(version=version, strict=strict, buffer=64)
    await found.web.mend()
    yield found
    await found.web.stop()


@pytest.fixture
async def machine(agent: VirtualAgent) -> AsyncIterator[MTConnectMachine]:
    found = MTConnectMachine(agent.web.url, poll_s=0.02)
    yield found
    await found.disconnect()


async def test_every_change_is_told_in_order_and_once(
    agent: VirtualAgent, machine: MTConnectMachine
) -> None:
    told: list[DeviceEvent] = []
    machine.listen(told.append)
    identity = await machine.connect()
    assert (identity.dialect, identity.capabilities["MAKER"]) == ("mtconnect", "Virtual VMC")
    assert machine.get_telemetry().metrics["position.x_mm"] == 12.5
    assert LOAD not in machine.get_telemetry().metrics
    told.clear()
    for number in range(40):
        agent.say("xload", str(number))
    agent.say("exec", "ACTIVE")
    await until(lambda: machine.get_status().execution is Execution.ACTIVE, "ACTIVE")
    agent.say("xload", "UNAVAILABLE")
    await until(lambda: LOAD not in machine.get_telemetry().metrics, "absent again")
    agent.say("system", "spindle oil low", level="Fault", code="E471")
    agent.say("estop", "TRIGGERED")
    await until(lambda: machine.get_status().emergency_stop is EmergencyStop.TRIGGERED, "TRIGGERED")
    (fault,) = machine.get_status().conditions
    assert (fault.type, fault.code, fault.text) == ("SYSTEM", "E471", "spindle oil low")
    loads = [e.sample.metrics[LOAD] for e in told if isinstance(e, Sampled)]
    assert loads[-1] == 39.0
    assert len([e for e in told if isinstance(e, StatusChanged)]) in {2, 3}
    assert machine.get_telemetry().metrics.get("comm.gaps") is None


async def test_a_buffer_that_ran_over_is_a_counted_gap_and_the_newest_values_hold(
    agent: VirtualAgent, machine: MTConnectMachine
) -> None:
    await machine.connect()
    for number in range(200):
        agent.say("xload", str(number))
    await until(lambda: machine.get_telemetry().metrics.get(LOAD) == 199.0, "the newest value")
    assert machine.get_telemetry().metrics["comm.gaps"] == 1.0
    agent.say("xload", "7")
    await until(lambda: machine.get_telemetry().metrics.get(LOAD) == 7.0, "followed again")


async def test_an_agent_that_restarts_is_probed_anew_and_followed_from_its_start(
    agent: VirtualAgent, machine: MTConnectMachine
) -> None:
    await machine.connect()
    agent.say("system", "old fault", level="Fault", code="E1")
    await until(lambda: bool(machine.get_status().conditions), "the fault")
    agent.restart()
    agent.say("exec", "ACTIVE")
    await until(lambda: machine.get_status().execution is Execution.ACTIVE, "ACTIVE")
    assert machine.get_status().conditions == ()
    agent.say("feed", "20")
    await until(
        lambda: machine.get_telemetry().metrics.get("feedrate_mm_s") == 20.0, "followed again"
    )


async def test_a_machine_that_its_agent_calls_unavailable_is_no_lost_link(
    agent: VirtualAgent, machine: MTConnectMachine
) -> None:
    told: list[DeviceEvent] = []
    machine.listen(told.append)
    await machine.connect()
    agent.say("avail", "UNAVAILABLE")
    await until(
        lambda: machine.get_status().availability is Availability.UNAVAILABLE, "UNAVAILABLE"
    )
    assert not [e for e in told if isinstance(e, LinkLost)]
    agent.say("avail", "AVAILABLE")
    await until(lambda: machine.get_status().availability is Availability.AVAILABLE, "back")
    agent.say("avail", "UNAVAILABLE")
    await until(
        lambda: machine.get_status().availability is Availability.UNAVAILABLE, "UNAVAILABLE"
    )
    await agent.web.cut()
    await until(lambda: any(isinstance(e, LinkLost) for e in told), "the agent is gone, too")


async def test_a_device_that_the_agent_has_not_is_said_with_those_it_has(
    agent: VirtualAgent,
) -> None:
    for right in ("VMC-3Axis", "m-1"):
        machine = MTConnectMachine(agent.web.url, device=right)
        await machine.connect()
        await machine.disconnect()
    machine = MTConnectMachine(agent.web.url, device="lathe")
    with pytest.raises(DeviceRefusedError, match="it has VMC-3Axis"):
        await machine.connect()
    with pytest.raises(InvalidInputError):
        MTConnectMachine("http://")
