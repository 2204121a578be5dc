"""Drivers that need a library of the extra ``industrial``: the bridge does without, and says so."""

import subprocess
import sys

import pytest

from device_bridge.drivers.catalogue import driver_for
from device_bridge.errors import ExtraMissingError
from device_bridge.machines import MachineConfig

NEEDY = {
    "modbus_meter": ("pymodbus", "tcp://127.0.0.1:1", "sdm120"),
    "opcua": ("asyncua", "opc.tcp://127.0.0.1:1", "power_w=ns=1;i=1"),
    "mqtt": ("paho", "mqtt://127.0.0.1:1", "power_w=press/watts"),
}
IMPORTED = (
    "import sys; from device_bridge.drivers import catalogue;"
    "[catalogue.driver_named(n) for n in ('modbus_meter', 'opcua', 'mqtt', 'mtconnect', 'shdr')];"
    "import device_bridge.agent;"
    "print(sorted({'asyncua', 'paho', 'pymodbus'} & set(sys.modules)))"
)


@pytest.mark.parametrize("name", NEEDY)
async def test_a_library_that_is_not_installed_is_named_with_the_extra_that_brings_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, port, map = NEEDY[name]
    loaded = [each for each in sys.modules if each.split(".")[0] == library]
    for each in (*loaded, f"device_bridge.transports.{name.removesuffix('_meter')}"):
        monkeypatch.delitem(sys.modules, each, raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    machine = MachineConfig(node_id="n", name="m", dialect=name, port=port, options={"map": map})
    with pytest.raises(ExtraMissingError) as told:
        await driver_for(machine).connect()
    assert library in told.value.message
    assert "imewe[industrial]" in told.value.remedy


def test_a_bridge_that_knows_these_drivers_carries_none_of_their_libraries() -> None:
    found = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True, timeout=120
    )
    assert found.stdout.strip() == "[]"
