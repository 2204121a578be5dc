"""Ways to tamper with proof files, for tests that attack them."""

from base64 import b64decode, b64encode

from ops.eventstore.envelope import Record, hash_of
from ops.notary.heads import Head, read_note
from ops.notary.merkle import entry_of, leaf_hash
from tests.proving import Line, lines_in


def head_of(note: str) -> Head:
    return Head.read(read_note(note).text)


def flipped(text: str) -> str:
    """Base64 of the same bytes but for one bit."""
    raw = bytearray(b64decode(text))
    raw[len(raw) // 2] ^= 1
    return b64encode(raw).decode()


def rehashed(event: Line, **headers: str) -> None:
    """Give an event the hash of what it says now, and the leaf that follows."""
    event["headers"] |= headers
    body = b64decode(event["body"])
    event["headers"]["Imewe-Hash"] = hash_of(event["subject"], event["headers"], body)
    known = {**event["headers"], "Nats-Time-Stamp": event["time"]}
    record = Record(sequence=event["sequence"], subject=event["subject"], headers=known, body=body)
    event["leaf"] = b64encode(leaf_hash(entry_of(record))).decode()


def rewritten(lines: list[Line], sequence: int, *, leaves: bool) -> None:
    """Change an event and make its object's whole chain good again; ``leaves`` too."""
    events = [line["event"] for line in lines if "event" in line]
    subject = next(each["subject"] for each in events if each["sequence"] == sequence)
    before = ""
    for each in events:
        if each["subject"] != subject or each["sequence"] < sequence:
            continue
        old = each["leaf"]
        if each["sequence"] == sequence:
            each["body"] = b64encode(b64decode(each["body"])[:-1] + b',"forged":1}').decode()
            rehashed(each)
        else:
            rehashed(each, **{"Imewe-Prev-Hash": before})
        before = each["headers"]["Imewe-Hash"]
        each["leaf"] = each["leaf"] if leaves else old


def first_event(data: bytes, subject: str, *, place: int = 0) -> int:
    """The sequence of an event of an object of this kind."""
    found = [
        line["event"]["sequence"]
        for line in lines_in(data)
        if f".{subject}." in line.get("event", {}).get("subject", "")
    ]
    return int(found[place])


def heads_in(lines: list[Line]) -> list[int]:
    return [i for i, line in enumerate(lines) if "head" in line]


def builds_of(lines: list[Line]) -> list[int]:
    """The places of the events of the last build in a job's file."""
    builds = [i for i, line in enumerate(lines) if ".build." in str(line.get("event", ""))]
    subject = lines[builds[-1]]["event"]["subject"]
    return [i for i in builds if lines[i]["event"]["subject"] == subject]


def map_of(lines: list[Line], subject: str) -> Line:
    """What a job's file says of an object's end."""
    return next(e["map"] for e in lines if e.get("map", {}).get("subject") == subject)
