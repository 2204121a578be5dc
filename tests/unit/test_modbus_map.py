"""Register maps of Modbus meters: what they say, what is refused, what the bits mean."""

import struct

import pytest

from device_bridge.dialects.modbus import PRESETS, registers
from device_bridge.machines import MachineConfig, meter_for
from device_bridge.meter import PowerMeter
from device_bridge.modbus_meter import ModbusMeter
from device_bridge.modbus_place import place_at, place_in
from domain.shared.errors import InvalidInputError


def words(format: str, value: float) -> list[int]:
    raw = struct.pack(format, value)
    return list(struct.unpack(f">{len(raw) // 2}H", raw))


@pytest.mark.parametrize(
    ("type", "format", "value"),
    [
        ("int16", ">h", -5),
        ("uint16", ">H", 65535),
        ("int32", ">i", -100_000),
        ("uint32", ">I", 4_000_000_000),
        ("int64", ">q", -(2**40)),
        ("uint64", ">Q", 2**40),
        ("float32", ">f", 115.5),
        ("float64", ">d", 0.1),
    ],
)
def test_every_type_is_read_in_both_word_orders(type: str, format: str, value: float) -> None:
    (big,) = registers(f"power_w=holding:0x10:{type}:2")
    (little,) = registers(f"power_w=holding:16:{type}:2:little")
    assert (big.address, big.function, big.count) == (16, "holding", len(words(format, value)))
    assert big.value(words(format, value)) == value * 2
    assert little.value(list(reversed(words(format, value)))) == value * 2


def test_what_is_no_number_is_absent() -> None:
    (one,) = registers("power_w=input:0:float32")
    assert one.value([0x7FC0, 0]) is None
    assert one.value([0x7F80, 0]) is None


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_measures_power_and_energy_in_watts_and_joules(preset: str) -> None:
    found = {register.channel: register for register in registers(preset)}
    assert found["energy_j"].value(words(">f", 1.0)) == 3_600_000
    assert found["power_w"].value(words(">f", 1.0)) == 1


@pytest.mark.parametrize(
    "map",
    [
        "",
        "sdm999",
        "power_w",
        "power_w=input:0",
        "power_w=coil:0:float32",
        "power_w=input:0:float16",
        "power_w=input:x:float32",
        "power_w=input:65535:float32",
        "power_w=input:-1:int16",
        "power_w=input:0:int16:nan",
        "power_w=input:0:int16:1:middle",
        "power_w=input:0:int16:1:big:more",
        "power=input:0:int16",
        "power_w=input:0:int16,power_w=input:1:int16",
    ],
)
def test_an_unclear_map_is_refused(map: str) -> None:
    with pytest.raises(InvalidInputError):
        registers(map)


def test_a_meter_is_told_apart_by_its_address() -> None:
    def machine(meter: str) -> MachineConfig:
        return MachineConfig(node_id="n", name="m", dialect="marlin", port="/dev/m", meter=meter)

    assert meter_for(machine("")) is None
    assert isinstance(meter_for(machine("/dev/meter")), PowerMeter)
    assert isinstance(meter_for(machine("modbus://h?map=sdm120")), ModbusMeter)
    for wrong in (
        "modbus://h",
        "modbus://?map=sdm120",
        "modbus://h:x?map=sdm120",
        "modbus://h?map=sdm120&unit=256",
        "modbus://h?map=sdm120&unit=one",
        "modbus://h?map=sdm120&colour=red",
        "modbus://h?map=voltage_v=input:0:float32",
    ):
        with pytest.raises(InvalidInputError):
            meter_for(machine(wrong))


def test_a_place_is_an_address_or_a_serial_line() -> None:
    place, map = place_in("modbus:///dev/ttyUSB0?baudrate=19200&parity=e&unit=3&map=sdm630")
    assert (place.path, place.host, place.baudrate, place.parity, place.unit, map) == (
        "/dev/ttyUSB0",
        "",
        19200,
        "E",
        3,
        "sdm630",
    )
    place = place_at("tcp://meter.local", {"rtu": "yes"})
    assert (place.host, place.port, place.rtu, place.name) == (
        "meter.local",
        502,
        True,
        "meter.local:502",
    )
