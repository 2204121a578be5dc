"""MTConnect documents of every version become values; a view folds them into a status."""

import pytest

from device_bridge.dialects import mtconnect
from device_bridge.dialects.mtconnect import DataItem, Device, Observation
from device_bridge.dialects.mtconnect_view import View, channels_of
from device_bridge.errors import DeviceRefusedError
from domain.node.states import Availability, ConditionLevel, EmergencyStop, Execution

VERSIONS = ("1.0", "1.2", "1.4", "1.8", "2.0", "2.7")


def streams(body: str, version: str = "1.4") -> bytes:
    space = f"urn:mtconnect.org:MTConnectStreams:{version}"
    head = f'<Header instanceId="7" nextSequence="31" lastSequence="30" version="{version}.0"/>'
    return (
        f'<?xml version="1.0"?><MTConnectStreams xmlns="{space}" xmlns:x="urn:maker">{head}'
        f'<Streams><DeviceStream name="M"><ComponentStream component="Path">{body}'
        "</ComponentStream></DeviceStream></Streams></MTConnectStreams>"
    ).encode()


def item(id: str, type: str, *, units: str = "", sub_type: str = "", **more: str) -> DataItem:
    own = {"component": "Device", "component_name": "", "path": "", "category": "EVENT", **more}
    return DataItem(id=id, type=type, sub_type=sub_type, units=units, **own)


def view(*items: DataItem, path: str = "") -> View:
    found = {each.id: each for each in items}
    return View(Device(key="M", name="M", uuid="", maker="", items=found), path=path)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_document_of_any_version_is_read_by_its_local_names(version: str) -> None:
    body = (
        '<Events><Execution dataItemId="e">ACTIVE</Execution></Events>'
        '<Samples><x:Own dataItemId="o">1.5</x:Own></Samples>'
        '<Condition><Fault dataItemId="c" nativeCode="E1"> door open </Fault></Condition>'
    )
    header, said = mtconnect.observations(streams(body, version))
    assert (header.instance_id, header.next_sequence, header.last_sequence) == ("7", 31, 30)
    assert [(one.item_id, one.value, one.level) for one in said] == [
        ("e", "ACTIVE", ""),
        ("o", "1.5", ""),
        ("c", "door open", "FAULT"),
    ]


@pytest.mark.parametrize(
    "error",
    [
        '<Error errorCode="OUT_OF_RANGE">from must be lower</Error>',
        '<Errors><Error errorCode="OUT_OF_RANGE">from must be lower</Error></Errors>',
        '<Errors><OutOfRange errorCode="OUT_OF_RANGE"><URI/><ErrorMessage>from must be lower'
        "</ErrorMessage></OutOfRange></Errors>",
    ],
    ids=["1.0", "1.1 to 2.2", "later"],
)
def test_an_error_document_is_a_refusal_in_the_agents_words(error: str) -> None:
    document = f'<MTConnectError><Header instanceId="1"/>{error}</MTConnectError>'.encode()
    with pytest.raises(DeviceRefusedError, match="OUT_OF_RANGE from must be lower"):
        mtconnect.observations(document)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"\x00\xff",
        b"<html/>",
        b'<!DOCTYPE a [<!ENTITY b "b">]><MTConnectStreams/>',
        b"<MTConnectStreams/>",
        streams("").replace(b'"31"', b'"many"'),
        b'<?xml version="1.0" encoding="nothing-like-it"?><a/>',
    ],
    ids=["nothing", "binary", "a web page", "entities", "no header", "no number", "no encoding"],
)
def test_what_is_no_document_of_an_agent_is_refused(document: bytes) -> None:
    with pytest.raises(DeviceRefusedError):
        mtconnect.observations(document)


def test_numbers_have_canonical_names_and_units_and_no_two_share_one() -> None:
    device = Device(
        key="M",
        name="M",
        uuid="",
        maker="",
        items={
            one.id: one
            for one in (
                item("a", "TEMPERATURE", units="CELSIUS", component_name="Hot End"),
                item("b", "TEMPERATURE", units="CELSIUS", component_name="Hot End", path="2"),
                item("c", "ROTARY_VELOCITY", units="REVOLUTION/SECOND", sub_type="ACTUAL"),
                item("d", "ROTARY_VELOCITY", units="REVOLUTION/MINUTE", component_name="S2"),
                item("e", "ROTARY_VELOCITY", units="REVOLUTION/MINUTE", sub_type="COMMANDED"),
                item("f", "POSITION", units="MILLIMETER", component="Linear", component_name="X"),
                item("g", "POSITION", units="DEGREE", component="Rotary", component_name="C"),
                item("h", "MASS", units="KILOGRAM", component_name="bin"),
            )
        },
    )
    assert channels_of(device) == {
        "a": ("temperature.hot_end.actual_c", 1.0),
        "b": ("hot_end.temperature_c", 1.0),
        "c": ("spindle_rpm", 60.0),
        "d": ("s2.rotary_velocity_rpm", 1.0),
        "e": ("device.rotary_velocity_commanded_rpm", 1.0),
        "f": ("position.x_mm", 1.0),
        "h": ("bin.mass_g", 1000.0),
    }


def test_unavailable_and_what_is_no_number_is_absent_never_zero() -> None:
    seen = view(item("t", "TEMPERATURE", units="CELSIUS", component_name="bed"))
    name = "temperature.bed.actual_c"
    assert seen.fold([Observation(item_id="t", value="20.5")]) == ({name: 20.5}, set())
    for word in ("UNAVAILABLE", "", "nan", "1e999", "warm"):
        assert seen.fold([Observation(item_id="t", value=word)]) == ({}, {name})
    assert seen.fold([Observation(item_id="t", value="1 2 3")]) == ({name: 3.0}, set())


def test_the_machines_own_words_are_taken_straight() -> None:
    seen = view(
        item("a", "AVAILABILITY"),
        item("e", "EXECUTION", path="P1"),
        item("f", "EXECUTION", path="P2"),
        item("s", "EMERGENCY_STOP"),
        path="P2",
    )
    assert seen.status().availability is Availability.UNAVAILABLE
    seen.fold([Observation(item_id="a", value="AVAILABLE")])
    assert seen.status().execution is Execution.UNAVAILABLE
    for word in ("READY", "ACTIVE", "FEED_HOLD", "INTERRUPTED", "STOPPED", "PROGRAM_COMPLETED"):
        seen.fold([Observation(item_id="e", value="WAIT"), Observation(item_id="f", value=word)])
        assert seen.status().execution == word
    seen.fold([Observation(item_id="f", value="DANCING")])
    assert seen.status().execution is Execution.UNAVAILABLE
    seen.fold([Observation(item_id="s", value="TRIGGERED")])
    assert seen.status().emergency_stop is EmergencyStop.TRIGGERED
    seen.fold([Observation(item_id="a", value="UNAVAILABLE")])
    assert seen.status().execution is Execution.UNAVAILABLE


def test_a_normal_ends_the_condition_of_its_code_and_one_without_a_code_ends_all() -> None:
    seen = view(item("a", "AVAILABILITY"), item("c", "SYSTEM", category="CONDITION"))

    def told(level: str, code: str = "", text: str = "") -> list[tuple[str, str, str]]:
        one = Observation(item_id="c", value=text, level=level, native_code=code)
        seen.fold([Observation(item_id="a", value="AVAILABLE"), one])
        return [(c.level, c.code, c.text) for c in seen.status().conditions]

    assert told("FAULT", "E1", "door open") == [("FAULT", "E1", "door open")]
    assert told("WARNING", "W2", "oil low") == [
        ("FAULT", "E1", "door open"),
        ("WARNING", "W2", "oil low"),
    ]
    assert told("NORMAL", "E1") == [("WARNING", "W2", "oil low")]
    assert told("NORMAL") == []
    assert told("FAULT")[0][:2] == (ConditionLevel.FAULT, "c")
    assert told("UNAVAILABLE") == []
