"""MTConnect documents (Parts 1 and 2, versions 1.x and 2.x) as values. Pure.

Only local names are looked at: every version has a namespace of its own, and makers add theirs.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field

from device_bridge.errors import DeviceRefusedError

UNAVAILABLE = "UNAVAILABLE"
LEVELS = {"Normal": "NORMAL", "Warning": "WARNING", "Fault": "FAULT", "Unavailable": UNAVAILABLE}
GROUPS = frozenset({"Samples", "Events", "Condition", "Conditions"})
CONTAINERS = frozenset({"Components", "DataItems", "Devices"})
LONGEST_TEXT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What stands at the head of every document. Sequences are 0 in a probe."""

    instance_id: str
    next_sequence: int
    last_sequence: int
    version: str
    sender: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataItem:
    """One thing that a device tells, and the part of the device that tells it."""

    id: str
    category: str
    type: str
    sub_type: str
    units: str
    component: str
    component_name: str
    path: str
    """The name of the controller path it belongs to; empty outside of any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device of an agent. ``key`` is what stands for it in an address."""

    key: str
    name: str
    uuid: str
    maker: str
    items: dict[str, DataItem] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One value. ``level`` is set for conditions only."""

    item_id: str
    value: str
    level: str = ""
    native_code: str = ""
    condition_id: str = ""


def devices(document: bytes) -> tuple[Header, list[Device]]:
    """The answer to ``probe``, without the agent's own device. Raises ``DeviceRefusedError``."""
    root = _root(document, "MTConnectDevices")
    found = [
        _device(element)
        for part in root
        if _local(part) == "Devices"
        for element in part
        if _local(element) == "Device"
    ]
    return _header(root), found


def observations(document: bytes) -> tuple[Header, list[Observation]]:
    """The answer to ``current`` or ``sample``, in its order. Raises ``DeviceRefusedError``."""
    root = _root(document, "MTConnectStreams")
    said = [
        _observation(element)
        for group in root.iter()
        if _local(group) in GROUPS
        for element in group
        if element.get("dataItemId")
    ]
    return _header(root), said


def _root(document: bytes, wanted: str) -> ET.Element:
    if b"<!DOCTYPE" in document or b"<!ENTITY" in document:
        raise DeviceRefusedError("the agent's answer defines entities; no agent does")
    try:
        root = ET.fromstring(document)
    except (ET.ParseError, ValueError, LookupError) as problem:
        raise DeviceRefusedError(f"the agent answers no XML: {problem}") from problem
    kind = _local(root)
    if kind == "MTConnectError":
        raise DeviceRefusedError(_errors(root))
    if kind != wanted:
        raise DeviceRefusedError(f"the agent answers {kind[:40]} instead of {wanted}")
    return root


def _errors(root: ET.Element) -> str:
    """Up to 2.1 an ``Error`` holds its text; later ones hold an ``ErrorMessage``."""
    told = [
        f"{element.get('errorCode')} {' '.join(''.join(element.itertext()).split())}".strip()
        for element in root.iter()
        if element.get("errorCode")
    ]
    return "; ".join(told)[:LONGEST_TEXT] or "the agent answers an error without a code"


def _header(root: ET.Element) -> Header:
    head = next((element for element in root if _local(element) == "Header"), None)
    if head is None or not head.get("instanceId"):
        raise DeviceRefusedError("the agent's answer has no header")
    return Header(
        instance_id=head.get("instanceId", ""),
        next_sequence=_number(head.get("nextSequence", "0")),
        last_sequence=_number(head.get("lastSequence", "0")),
        version=head.get("version", ""),
        sender=head.get("sender", ""),
    )


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as problem:
        raise DeviceRefusedError(f"{text[:40]} is no sequence number") from problem


def _device(element: ET.Element) -> Device:
    name, uuid = element.get("name", ""), element.get("uuid", "")
    told = next((part for part in element if _local(part) == "Description"), None)
    words = (told.get("manufacturer"), told.get("model")) if told is not None else ()
    return Device(
        key=name or uuid,
        name=name,
        uuid=uuid,
        maker=" ".join(word for word in words if word),
        items={item.id: item for item in _items(element, "", "", "") if item.id},
    )


def _items(element: ET.Element, component: str, name: str, path: str) -> Iterator[DataItem]:
    for part in element:
        kind = _local(part)
        if kind in CONTAINERS:
            yield from _items(part, component, name, path)
        elif kind == "DataItem":
            yield _item(part, component, name, path)
        elif part.get("id"):
            own = part.get("name") or kind
            yield from _items(part, kind, own, own if kind == "Path" else path)


def _item(element: ET.Element, component: str, name: str, path: str) -> DataItem:
    return DataItem(
        id=element.get("id", ""),
        category=element.get("category", ""),
        type=element.get("type", "").rpartition(":")[2],
        sub_type=element.get("subType", "").rpartition(":")[2],
        units=element.get("units", ""),
        component=component,
        component_name=name,
        path=path,
    )


def _observation(element: ET.Element) -> Observation:
    return Observation(
        item_id=element.get("dataItemId", ""),
        value=(element.text or "").strip(),
        level=LEVELS.get(_local(element), ""),
        native_code=element.get("nativeCode", ""),
        condition_id=element.get("conditionId", ""),
    )


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
