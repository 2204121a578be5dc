"""What the watcher inside the bridge does, and to whom it does nothing."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from device_bridge.errors import DeviceRefusedError
from device_bridge.protocols import DeviceDriver, DeviceStatus, TelemetrySample
from device_bridge.safety.guard import Guard, Hands
from device_bridge.safety.policy import SafetyPolicy
from device_bridge.safety.warden import ProcessWarden
from domain.node.states import Execution

HOT = {"temperature.hotend0.actual_c": 200.0, "temperature.hotend0.target_c": 200.0}


class Machine:
    """A machine of which only this is asked."""

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self.obeys = True
        self.cooled = 0

    def get_status(self) -> DeviceStatus:
        return DeviceStatus(execution=self.execution)

    async def heat_off(self) -> None:
        if not self.obeys:
            raise DeviceRefusedError("no")
        self.cooled += 1


class Rig:
    """A guard with hands that only remember."""

    def __init__(self, execution: Execution = Execution.READY, *, acts: bool = True) -> None:
        self.machine = Machine(execution)
        self.warned: list[str] = []
        self.halted: list[str] = []

        async def halt(by: str) -> None:
            self.halted.append(by)

        async def pause(_: str) -> None:
            raise AssertionError("nothing is paused here")

        self.guard = Guard(
            "n1",
            cast(DeviceDriver, self.machine),
            lambda: SafetyPolicy(idle_heat_s=60),
            Hands(
                warn=lambda code, *_: self.warned.append(code),
                relieve=lambda _: None,
                pause=pause,
                halt=halt,
            ),
            stalls=False,
            acts=acts,
        )

    async def seen(self, seconds: int, metrics: dict[str, float] = HOT) -> None:
        for second in range(seconds):
            self.guard.measured(TelemetrySample(mono_s=float(second), metrics=metrics))
            await asyncio.sleep(0)


async def test_heat_that_nobody_owns_is_warned_of_and_switched_off() -> None:
    rig = Rig()
    await rig.seen(70)
    assert (rig.warned, rig.machine.cooled) == (["HEAT_UNOWNED", "HEAT_LEFT_ON"], 1)


async def test_a_program_that_is_not_ours_keeps_its_heat() -> None:
    rig = Rig(Execution.ACTIVE)
    await rig.seen(700)
    assert (rig.warned, rig.machine.cooled) == ([], 0)


async def test_a_machine_that_is_only_read_is_told_nothing() -> None:
    rig = Rig(acts=False)
    await rig.seen(70)
    assert (rig.warned, rig.machine.cooled) == (["HEAT_UNOWNED", "HEAT_LEFT_ON"], 0)


async def test_a_machine_that_does_not_cool_when_told_is_stopped() -> None:
    rig = Rig()
    rig.machine.obeys = False
    await rig.seen(70)
    assert rig.halted == ["watcher/HEAT_LEFT_ON"]


async def test_a_bridge_without_a_watcher_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any, **__: Any) -> None:
        raise OSError("no memory")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refused)
    warden = ProcessWarden(tmp_path)
    await warden.tell([])
    await warden.farewell()
    assert warden.deed("n1") is None
