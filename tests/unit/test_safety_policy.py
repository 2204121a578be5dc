"""What is done when a bridge dies: read, written and refused."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from device_bridge.machines import MachineConfig, write_machines
from device_bridge.safety.policy import FILE, SafetyPolicy, read_policies
from domain.shared.errors import InvalidInputError
from ops.cli.main import application


def test_without_a_file_a_dead_bridge_cools_its_machines(tmp_path: Path) -> None:
    assert read_policies(tmp_path / FILE).of("any") == SafetyPolicy(on_loss="cool")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"default": {"on_loss": "hope"}}',
        '{"default": {"stall_s": 0}}',
        '{"default": {"x": 1}}',
        '{"machines": []}',
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(InvalidInputError):
        read_policies(tmp_path / FILE)


def test_a_machine_has_its_own_policy_beside_the_common_one(tmp_path: Path) -> None:
    machines = [
        MachineConfig(node_id="n1", name="prusa", dialect="marlin", port="/dev/ttyUSB0"),
        MachineConfig(node_id="n2", name="voron", dialect="moonraker", port="ws://voron:7125"),
    ]
    write_machines(tmp_path / "machines.json", machines)

    def say(*words: str) -> list[dict[str, object]]:
        told = ["bridge", "safety", *words, "--home", str(tmp_path), "--json"]
        result = CliRunner().invoke(application(["bridge"]), told)
        assert result.exit_code == 0, result.output
        shown: list[dict[str, object]] = json.loads(result.stdout)
        return shown

    (own,) = say("prusa", "--set", "on_loss=pause", "--set", "stall_s=90")
    assert (own["on_loss"], own["stall_s"]) == ("pause", 90.0)
    say("--set", "idle_heat_s=120")
    common, first, second = say()
    assert (common["on_loss"], common["idle_heat_s"]) == ("cool", 120.0)
    assert (first["on_loss"], first["idle_heat_s"]) == ("pause", 600.0)
    assert second["on_loss"] == "finish"  # it runs its programs by itself
