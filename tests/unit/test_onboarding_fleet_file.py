"""One CSV file for a fleet: every line is good as a whole or says what is wrong with it."""

from pathlib import Path

import pytest

from device_bridge.machines import MachineConfig, write_machines
from domain.shared.errors import InvalidInputError
from ops.cli.fleet_file import read_fleet

HEAD = "name,driver,port,process,materials,size,tools\n"
GOOD = "prusa-1,marlin,/dev/a,fdm,PLA;PETG,250x210x210,1\n"


def problems(text: str, tmp_path: Path) -> list[str]:
    lines = read_fleet(text, tmp_path / "machines.json")
    return [line.problem.message if line.problem else "" for line in lines]


def test_a_good_line_becomes_a_profile_and_a_machine(tmp_path: Path) -> None:
    (line,) = read_fleet("\ufeff" + HEAD + GOOD, tmp_path / "machines.json")
    assert line.problem is None
    assert line.profile["materials"] == ["PETG", "PLA"]
    assert line.profile["max_size"] == {"x": 250.0, "y": 210.0, "z": 210.0}
    assert line.machine is not None
    assert (line.machine.dialect, line.machine.port) == ("marlin", "/dev/a")


def test_every_bad_line_says_its_own_problem_and_the_good_ones_stay(tmp_path: Path) -> None:
    bad = [
        ("x,nobody,/dev/b,fdm,PLA,1x1x1,", "no driver"),
        ("x,,/dev/b,fdm,PLA,1x1x1,", "needs a driver"),
        ("x,marlin,opc.tcp://b,fdm,PLA,1x1x1,", "reaches machines"),
        ("x,,,alchemy,PLA,1x1x1,", "process must be"),
        ("x,,,fdm,,1x1x1,", "needs materials"),
        ("x,,,fdm,PLA,big,", "no size"),
        ("x,,,fdm,PLA,nanxnanxnan,", "number"),
        ("x,,,fdm,PLA,1x1x1,many", "no number"),
        (",,,fdm,PLA,1x1x1,", "name"),
        ("x,,,fdm,PLA,1x1x1,1,more", "more fields"),
        ("prusa-1,,,fdm,PLA,1x1x1,", "line 2 has prusa-1"),
        ("x,marlin,/dev/a,fdm,PLA,1x1x1,", "line 2 has /dev/a"),
    ]
    told = problems(HEAD + GOOD + "\n".join(text for text, _ in bad) + "\n", tmp_path)
    assert told[0] == ""
    for (text, wanted), problem in zip(bad, told[1:], strict=True):
        assert wanted in problem, (text, problem)


def test_a_port_that_the_bridge_has_given_away_is_refused(tmp_path: Path) -> None:
    other = MachineConfig(node_id="n", name="other", dialect="grbl", port="/dev/a")
    write_machines(tmp_path / "machines.json", [other])
    assert "port of other" in problems(HEAD + GOOD, tmp_path)[0]


def test_the_same_machine_again_is_no_conflict(tmp_path: Path) -> None:
    known = MachineConfig(node_id="n", name="prusa-1", dialect="marlin", port="/dev/a")
    write_machines(tmp_path / "machines.json", [known])
    assert problems(HEAD + GOOD, tmp_path) == [""]


def test_a_port_on_another_bridge_is_not_written_here(tmp_path: Path) -> None:
    head = "name,driver,port,bridge,process,materials,size\n"
    line = "x,grbl,/dev/m,hall-2,mill,POM,300x200x80\n"
    assert "hall-2" in problems(head + line, tmp_path)[0]


@pytest.mark.parametrize("text", ["", "driver,port\n", "name,colour\n", 'name\n"half\n'])
def test_a_file_that_is_no_fleet_is_refused_as_a_whole(text: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        read_fleet(text, tmp_path / "machines.json")
