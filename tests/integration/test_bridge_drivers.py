"""A bridge and the drivers of its machines: what it says of them, and one that cannot be had."""

from pathlib import Path

from structlog.testing import capture_logs

from device_bridge.machines import MachineConfig, read_machines, write_machines
from tests.integration.bridge_rig import printed
from tests.integration.bridge_shop import NODE, bridge, shop


def add(home: Path, **about: str) -> None:
    """One more machine in a bridge's file; it is no virtual one."""
    machine = MachineConfig(node_id=about["name"], **about)
    path = home / "machines.json"
    write_machines(path, [*read_machines(path), machine])


async def test_a_machine_without_a_driver_is_told_and_leaves_the_others_at_work(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path) as place:
        add(tmp_path, name="a", dialect="klingon", port="/dev/ttyUSB0")
        add(tmp_path, name="b", dialect="grbl", port="http://mill")
        (tmp_path / "drivers").mkdir()
        (tmp_path / "drivers" / "broken.py").write_text("raise RuntimeError('its own fault')\n")
        add(tmp_path, name="c", dialect="broken", port="/dev/ttyUSB1")
        with capture_logs() as logs:
            async with bridge(tmp_path) as (_, core):
                core.order("b1", NODE, printed(20))
                await core.told("FinishBuild")
        assert place.machines[0].ledger.counts.starts == 1
    unusable = {
        line["name"]: line["problem"] for line in logs if line["event"] == "machine_unusable"
    }
    assert set(unusable) == {"a", "b", "c"}
    assert "its own fault" in unusable["c"]


async def test_a_driver_that_was_never_tried_on_hardware_says_so_of_every_real_machine(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path):
        add(tmp_path, name="real", dialect="marlin", port=str(tmp_path / "nowhere"))
        with capture_logs() as logs:
            async with bridge(tmp_path) as (_, core):
                await core.told("ConnectMachine")
    added = {line["name"]: line["quality"] for line in logs if line["event"] == "machine_added"}
    assert added == {"m1": "silver", "real": "silver"}
    warned = [line for line in logs if line["event"] == "driver_never_tried_on_hardware"]
    assert [(line["name"], line["driver"]) for line in warned] == [("real", "marlin")]
