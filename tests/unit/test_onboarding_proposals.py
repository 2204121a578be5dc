"""From what a machine tells to a profile: nothing is made up, and promises are compared."""

from pathlib import Path

import pytest

from device_bridge.dialects import marlin
from device_bridge.drivers.marlin_state import MarlinState
from device_bridge.machines import MachineConfig
from device_bridge.probing import Probed
from device_bridge.proposals import (
    keep_proposals,
    mismatches,
    profile_from,
    proposal_named,
    proposed,
    read_proposals,
)
from device_bridge.protocols import DeviceIdentity
from domain.shared.errors import InvalidInputError, NotFoundError

MILL = DeviceIdentity(
    firmware="Grbl 1.1h",
    dialect="grbl",
    capabilities={"TRAVEL_X": 300.0, "TRAVEL_Y": 200.0, "TRAVEL_Z": 80.0, "MAX_S": 12000.0},
)


def probed(port: str, identity: DeviceIdentity = MILL) -> Probed:
    machine = MachineConfig(node_id="p", name="p", dialect=identity.dialect, port=port)
    return Probed(machine=machine, identity=identity)


def test_what_a_machine_does_not_tell_is_missing_and_not_made_up() -> None:
    silent = DeviceIdentity(firmware="Marlin 2.1", dialect="marlin")
    proposal = proposed(probed("/dev/ttyUSB0", silent))
    assert proposal.profile == {"process": "fdm"}
    assert proposal.missing == ["materials", "max_size"]


def test_a_mill_tells_its_travel_and_its_fastest_spindle() -> None:
    assert profile_from("grbl", MILL, {}) == {
        "process": "mill",
        "max_size": {"x": 300.0, "y": 200.0, "z": 80.0},
        "max_spindle_rpm": 12000.0,
    }


def test_marlin_tells_where_its_tool_may_work() -> None:
    state = MarlinState()
    line = (
        "area:{full:{min:{x:-10,y:-10,z:0},max:{x:230,y:220,z:250}},"
        "work:{min:{x:0,y:-2.5,z:0},max:{x:220,y:217.5,z:250}}}"
    )
    state.hear(marlin.parse(line))
    assert profile_from("marlin", state.identity(), {})["max_size"] == {
        "x": 220.0,
        "y": 220.0,
        "z": 250.0,
    }


def test_a_profile_that_promises_more_than_the_machine_has_is_flagged() -> None:
    told = profile_from("grbl", MILL, {})
    registered = {
        "process": "laser",
        "max_size": {"x": 300.0, "y": 250.0, "z": 50.0},
        "max_spindle_rpm": 24000.0,
    }
    found = mismatches(told, registered)
    assert [each.partition(":")[0] for each in found] == [
        "process",
        "max_size y",
        "max_spindle_rpm",
    ]
    assert mismatches(told, {**told, "materials": ["POM"]}) == []


def test_nonsense_in_what_klipper_tells_becomes_no_size() -> None:
    limits = {"toolhead": {"axis_maximum": [250, None, 210]}, "settings": {"extruder": 3}}
    klipper = DeviceIdentity(firmware="Klipper", dialect="moonraker")
    assert profile_from("moonraker", klipper, limits) == {"process": "fdm"}


def test_the_same_port_is_proposed_once(tmp_path: Path) -> None:
    path = tmp_path / "proposals.json"
    keep_proposals(path, [proposed(probed("/dev/a")), proposed(probed("/dev/b"))])
    again = keep_proposals(path, [proposed(probed("/dev/a"))])
    assert sorted(each.port for each in again) == ["/dev/a", "/dev/b"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert proposal_named(path, again[0].id).port == again[0].port
    with pytest.raises(NotFoundError):
        proposal_named(path, "nothing")


def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "proposals.json"
    path.write_text('{"proposals": [{"id": 1}]}')
    with pytest.raises(InvalidInputError):
        read_proposals(path)
