"""The drivers there are, what they take, and what is shown of a machine."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from device_bridge.drivers.catalogue import driver_for, driver_named, drivers
from device_bridge.drivers.spec import SCHEMES, Option, Quality, scheme_of
from device_bridge.machines import MachineConfig, read_machines, write_machines
from domain.shared.errors import InvalidInputError
from ops.cli.bridge import app

MAKER = """
from device_bridge.drivers.marlin import MarlinPrinter
from device_bridge.drivers.spec import DriverSpec, Option

DRIVER = DriverSpec(
    name="{name}",
    title="A maker's own",
    schemes=("http",),
    make=lambda machine: None,
    options=(Option(name="api_key", help="its key", secret=True), Option(name="unit", help="id")),
)
"""


def test_every_driver_of_ours_says_how_far_it_is_proven_and_how_it_is_reached() -> None:
    found = drivers()
    assert {"marlin", "grbl"} <= set(found)
    for name, spec in found.items():
        assert spec.name == name
        assert spec.title
        by_hand = spec.schemes == ("person",)  # nobody plays a person: its tests are its own
        assert by_hand or spec.peer is not None, f"{name} cannot be certified"
        assert set(spec.schemes) <= set(SCHEMES)
        assert spec.quality is not Quality.GOLD or spec.tried_on_hardware
        assert all(isinstance(option, Option) for option in spec.options)


@pytest.mark.parametrize("name", ["klingon", "base", "state", "../marlin", "", "marlin_wire"])
def test_what_is_no_driver_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError):
        driver_named(name)


@pytest.mark.parametrize(
    ("port", "scheme"),
    [
        ("/dev/ttyUSB0", "serial"),
        ("COM3", "serial"),
        ("tcp://mill:23", "tcp"),
        ("HTTP://octopi", "http"),
        ("opc.tcp://plc:4840", "opc.tcp"),
        ("person", "person"),
        ("person://anna", "person"),
    ],
)
def test_a_port_says_how_a_machine_is_reached(port: str, scheme: str) -> None:
    assert scheme_of(port) == scheme


def test_a_driver_refuses_ways_and_options_that_it_does_not_know() -> None:
    with pytest.raises(InvalidInputError, match="serial, tcp"):
        driver_for(config(port="opc.tcp://plc:4840"))
    with pytest.raises(InvalidInputError, match="no option api_key"):
        driver_for(config(options={"api_key": "x"}))


def test_a_makers_file_is_a_driver_under_its_own_name_only(tmp_path: Path) -> None:
    (tmp_path / "weaver.py").write_text(MAKER.format(name="weaver"))
    (tmp_path / "loom.py").write_text(MAKER.format(name="weaver"))
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "grbl.py").write_text(MAKER.format(name="grbl"))
    complaints: list[str] = []
    found = drivers(tmp_path, unusable=complaints.append)
    assert found["weaver"].title == "A maker's own"
    assert found["grbl"].title == driver_named("grbl").title
    assert not {"loom", "empty"} & set(found)
    assert [words.split(" ", 1)[0] for words in complaints] == ["empty.py", "grbl.py", "loom.py"]


@pytest.mark.parametrize("loose", ["", "weaver.py"], ids=["folder", "file"])
def test_code_that_anybody_may_write_is_not_run(tmp_path: Path, loose: str) -> None:
    (tmp_path / "weaver.py").write_text(MAKER.format(name="weaver"))
    (tmp_path / loose).chmod(0o777)
    with pytest.raises(InvalidInputError, match="anybody"):
        driver_named("weaver", tmp_path)
    assert "weaver" not in drivers(tmp_path)


def test_what_a_bridge_knows_of_its_machines_is_private(tmp_path: Path) -> None:
    path = tmp_path / "machines.json"
    machine = config(options={"api_key": "s3cret"})
    path.write_text("an older one that all may read")
    write_machines(path, [machine])
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_machines(path) == [machine]


@pytest.mark.parametrize("options", [["a"], {"unit": 7}, "x"])
def test_options_that_are_no_words_are_refused(tmp_path: Path, options: Any) -> None:
    path = tmp_path / "machines.json"
    machine = {"node_id": "n", "name": "m", "dialect": "marlin", "port": "p", "options": options}
    path.write_text(json.dumps({"machines": [machine]}))
    with pytest.raises(InvalidInputError):
        read_machines(path)


def test_a_secret_is_kept_and_never_shown(tmp_path: Path) -> None:
    weaver(tmp_path)
    key = tmp_path / "key"
    key.write_text("s3cret\n")
    added = bridge(
        tmp_path, "add", "n1", "http://weaver", "--driver", "weaver",
        "--option", f"api_key=@{key}", "--option", "unit=7",
    )  # fmt: skip
    listed = bridge(tmp_path, "list", "--json")
    assert "s3cret" not in added + listed
    assert json.loads(listed)[0]["options"] == {"api_key": "***", "unit": "7"}
    assert read_machines(tmp_path / "machines.json")[0].options["api_key"] == "s3cret"
    (tmp_path / "drivers" / "weaver.py").unlink()
    assert json.loads(bridge(tmp_path, "list", "--json"))[0]["options"]["unit"] == "***"


def test_two_machines_share_an_address_only_when_options_tell_them_apart(tmp_path: Path) -> None:
    weaver(tmp_path)
    words = ("http://weaver", "--driver", "weaver", "--option", "unit=1")
    bridge(tmp_path, "add", "n1", *words)
    assert "already" in refused(tmp_path, "add", "n2", *words)
    bridge(tmp_path, "add", "n2", *words[:-1], "unit=2")
    bridge(tmp_path, "add", "n3", "/dev/ttyUSB0")
    assert "already" in refused(tmp_path, "add", "n4", "/dev/ttyUSB0", "--driver", "grbl")
    assert len(read_machines(tmp_path / "machines.json")) == 3


def config(port: str = "/dev/null", options: dict[str, str] | None = None) -> MachineConfig:
    """A printer."""
    return MachineConfig(
        node_id="n1", name="m1", dialect="marlin", port=port, options=options or {}
    )


def weaver(home: Path) -> None:
    """A maker's driver in a home."""
    (home / "drivers").mkdir()
    (home / "drivers" / "weaver.py").write_text(MAKER.format(name="weaver"))


def bridge(home: Path, *words: str) -> str:
    """`imewe bridge`."""
    told = CliRunner().invoke(app, [*words, "--home", str(home)])
    assert told.exit_code == 0, told.output
    return told.output


def refused(home: Path, *words: str) -> str:
    """What it says when it refuses."""
    told = CliRunner().invoke(app, [*words, "--home", str(home)])
    assert told.exit_code != 0
    return told.output
