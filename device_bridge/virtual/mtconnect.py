"""A virtual MTConnect agent: real documents, a bounded buffer, sequence numbers that run out."""

import itertools
from collections import deque
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from device_bridge.virtual.web import Answer, Request, WebServer

DEVICE = "VMC-3Axis"
STAMP = "2026-01-12T02:13:00Z"
INSTANCES = itertools.count(1_700_000_000)
PROBE = f"""
<Agent id="agent1" name="Agent" uuid="a-1"><DataItems>
 <DataItem category="EVENT" id="agent_avail" type="AVAILABILITY"/></DataItems></Agent>
<Device id="d1" name="{DEVICE}" uuid="m-1"><Description manufacturer="Virtual" model="VMC"/>
<DataItems><DataItem category="EVENT" id="avail" type="AVAILABILITY"/>
 <DataItem category="EVENT" id="estop" type="EMERGENCY_STOP"/></DataItems>
<Components><Axes id="ax" name="base"><Components>
 <Linear id="x" name="X"><DataItems>
  <DataItem category="SAMPLE" id="xpos" type="POSITION" subType="ACTUAL" units="MILLIMETER"/>
  <DataItem category="SAMPLE" id="xload" type="LOAD" units="PERCENT"/>
  <DataItem category="CONDITION" id="xtravel" type="POSITION"/></DataItems></Linear>
 <Rotary id="c" name="C"><DataItems>
  <DataItem category="SAMPLE" id="speed" type="ROTARY_VELOCITY" subType="ACTUAL"
   units="REVOLUTION/MINUTE"/>
  <DataItem category="SAMPLE" id="ctemp" type="TEMPERATURE" units="CELSIUS"/>
 </DataItems></Rotary></Components></Axes>
<Controller id="ct" name="controller"><DataItems>
  <DataItem category="CONDITION" id="system" type="SYSTEM"/></DataItems>
 <Components><Path id="p" name="P1"><DataItems>
  <DataItem category="EVENT" id="exec" type="EXECUTION"/>
  <DataItem category="SAMPLE" id="feed" type="PATH_FEEDRATE" subType="ACTUAL"
   units="MILLIMETER/SECOND"/></DataItems></Path></Components></Controller>
</Components></Device>"""
KINDS = {
    "avail": "Availability",
    "agent_avail": "Availability",
    "estop": "EmergencyStop",
    "exec": "Execution",
    "xpos": "Position",
    "xload": "Load",
    "speed": "RotaryVelocity",
    "ctemp": "Temperature",
    "feed": "PathFeedrate",
}
AT_FIRST = {
    "avail": "AVAILABLE",
    "estop": "ARMED",
    "exec": "READY",
    "xpos": "12.5",
    "xload": "UNAVAILABLE",
    "speed": "0",
    "ctemp": "31.25",
    "feed": "0",
}
SAMPLES = frozenset({"xpos", "xload", "speed", "ctemp", "feed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One observation in the buffer; ``level`` makes it a condition (``Fault``, ``Normal``)."""

    sequence: int
    item: str
    value: str
    level: str = ""
    code: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What it replaces in the current values."""
        return self.item, self.code


class VirtualAgent:
    """An agent of ``version`` with one device. ``strict`` answers errors with HTTP 404, as agents
    of 2.x do; else with 200, as those of 1.x do. ``restart`` makes a new instance."""

    def __init__(self, *, version: str = "2.3", buffer: int = 128, strict: bool = True) -> None:
        self.web = WebServer(self._answer)
        self.samples = 0
        self._version = version
        self._buffer: deque[Said] = deque(maxlen=buffer)
        self._now: dict[tuple[str, str], Said] = {}
        self._next = 1
        self._instance = next(INSTANCES)
        self._status = 404 if strict else 200
        self._nonsense: deque[bytes] = deque(maxlen=64)
        self._begin()

    def restart(self) -> None:
        """Begin anew: another instance, sequence 1, an empty buffer."""
        self._buffer.clear()
        self._now.clear()
        self._next = 1
        self._instance = next(INSTANCES)
        self._begin()

    def say(self, item: str, value: str, *, level: str = "", code: str = "") -> None:
        """The machine's adapter tells a value, or the level of a condition."""
        said = Said(sequence=self._next, item=item, value=value, level=level, code=code)
        self._next += 1
        self._buffer.append(said)
        if level == "Normal":
            for key in [k for k in self._now if k[0] == item and code in ("", k[1])]:
                del self._now[key]
        self._now[said.key] = said

    def babble(self, data: bytes) -> None:
        """Answer a later ``sample`` with these bytes."""
        self._nonsense.append(data)

    def _begin(self) -> None:
        for item, value in AT_FIRST.items():
            self.say(item, value)
        for item in ("xtravel", "system"):
            self.say(item, "", level="Unavailable")

    async def _answer(self, request: Request) -> Answer:
        *owner, verb = request.path.strip("/").split("/")
        if owner not in ([], [DEVICE], ["m-1"]):
            return self._error("NO_DEVICE", f"no device {owner[0]}")
        match verb:
            case "probe" | "":
                return self._document("Devices", f"<Devices>{PROBE}</Devices>")
            case "current":
                return self._streams(sorted(self._now.values(), key=lambda s: s.sequence))
            case "sample":
                return self._sample(request)
        return self._error("UNSUPPORTED", f"no request {verb}")

    def _sample(self, request: Request) -> Answer:
        self.samples += 1
        if self._nonsense:
            return Answer(body=self._nonsense.popleft(), headers={"Content-Type": "text/xml"})
        first = self._buffer[0].sequence if self._buffer else self._next
        start = int(request.query.get("from", first))
        if not first <= start <= self._next:
            return self._error("OUT_OF_RANGE", f"from must be between {first} and {self._next}")
        count = int(request.query.get("count", 100))
        found = [said for said in self._buffer if said.sequence >= start][:count]
        return self._streams(found, follows=found[-1].sequence + 1 if found else start)

    def _streams(self, said: list[Said], *, follows: int | None = None) -> Answer:
        parts = (
            f'<ComponentStream component="Device" componentId="d1" name="{DEVICE}">{group}'
            "</ComponentStream>"
            for group in map(_written, said)
        )
        body = f'<DeviceStream name="{DEVICE}" uuid="m-1">{"".join(parts)}</DeviceStream>'
        return self._document("Streams", f"<Streams>{body}</Streams>", follows=follows)

    def _document(
        self, kind: str, body: str, *, follows: int | None = None, status: int = 200
    ) -> Answer:
        first = self._buffer[0].sequence if self._buffer else self._next
        sequences = "" if kind != "Streams" else (
            f' nextSequence="{self._next if follows is None else follows}"'
            f' firstSequence="{first}" lastSequence="{self._next - 1}"'
        )  # fmt: skip
        space = f"urn:mtconnect.org:MTConnect{kind}:{self._version}"
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?><MTConnect{kind} xmlns:m="{space}"'
            f' xmlns="{space}"><Header creationTime="{STAMP}" sender="virtual"'
            f' instanceId="{self._instance}" version="{self._version}.0.1"'
            f' bufferSize="{self._buffer.maxlen}"{sequences}/>{body}</MTConnect{kind}>'
        )
        headers = {"Content-Type": "text/xml"}
        return Answer(status=status, body=text.encode(), headers=headers)

    def _error(self, code: str, text: str) -> Answer:
        errors = f'<Errors><Error errorCode="{code}">{escape(text)}</Error></Errors>'
        return self._document("Error", errors, status=self._status)


def _written(said: Said) -> str:
    common = f'dataItemId="{said.item}" sequence="{said.sequence}" timestamp="{STAMP}"'
    if said.level:
        code = f" nativeCode={quoteattr(said.code)}" if said.code else ""
        inner = f'<{said.level} {common} type="SYSTEM"{code}>{escape(said.value)}</{said.level}>'
        return f"<Condition>{inner}</Condition>"
    group, kind = "Samples" if said.item in SAMPLES else "Events", KINDS[said.item]
    return f"<{group}><{kind} {common}>{escape(said.value)}</{kind}></{group}>"
