"""Checks an Imewe proof file on any machine, without Imewe and without trusting who made it.

    python verify_imewe.py FILE [--key VKEY ...] [--head NOTE_FILE ...] [--json]

Needs Python 3.10 and ``cryptography``. Exit code 0: verified; 1: tampered with, and the first bad
event is named; 2: it proves nothing. What is newer than the last signed head is never verified.
``--key``: the operator's key as you know it from elsewhere; ``--head``: a signed head you kept.
"""

import argparse
import gzip
import json
import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Sequence
from functools import reduce
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FIELDS = """Version Topic Prev Event Command Cause Story Org Site Actor-Kind Actor Occurred Recorded
 Schema Trace Prev-Hash"""
COVERED = [f"Imewe-{name}" for name in FIELDS.split()]  # by an event's hash, in this order
MEMBERS = {"sequence", "time", "subject", "headers", "body", "leaf"}  # of an event, and no other
IMEWE = UUID("6f1f3c2e-7d0b-5f6c-9a52-0b8f5d1c2a77")  # the namespace of all derived ids
End = tuple[int, int, str]  # of an object: its last version, sequence and hash


class ProofError(Exception):
    """``(reason, sequence or None, exit code)``"""


def lp(*values: bytes) -> bytes:  # each after its length as eight bytes
    return b"".join([part for v in values for part in (len(v).to_bytes(8, "big"), v)])


def unbase64(text: str) -> bytes:  # nothing for what is not in its one form
    return b64decode(text) if b64encode(b64decode(text)).decode() == text else b""


def digest(*parts: bytes) -> bytes:
    return sha256(b"".join(parts)).digest()


def line_of(told: Any) -> bytes:  # the one form in which a line may be written
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def proved_root(leaf: bytes, at: int, size: int, path: Sequence[bytes]) -> bytes:
    """RFC 6962 2.1.1: the root of the tree in which ``leaf`` is number ``at``."""
    if size == 1:
        return b"" if path else leaf
    *below, sibling = path
    half = 1 << (size - 1).bit_length() - 1
    if at < half:
        return digest(b"\1", proved_root(leaf, at, half, below), sibling)
    return digest(b"\1", sibling, proved_root(leaf, at - half, size - half, below))


def proved_map_root(subject: str, siblings: Sequence[str], end: Any) -> bytes:
    """The root of the sorted map if ``end`` is what lies where the object belongs."""
    key, found = digest(lp(b"imewe.map.v1"), lp(subject.encode())), bytes(32)
    way = f"{int.from_bytes(key, 'big'):0256b}"[: len(siblings)]
    if end and "version" in end:
        found = digest(b"\2", key, lp(*(str(each).encode() for each in end.values())))
    elif end:
        other = unbase64(end["key"])
        if other == key or not f"{int.from_bytes(other, 'big'):0256b}".startswith(way):
            return b""
        found = digest(b"\2", other, unbase64(end["value"]))
    for right, sibling in zip(way[::-1], map(unbase64, siblings[::-1]), strict=True):
        found = digest(b"\3", *((sibling, found) if right == "1" else (found, sibling)))
    return found


class Key:
    """A public key of the notary as C2SP writes it: name, key id, algorithm 1 (Ed25519)."""

    def __init__(self, text: str, start: int = 0) -> None:
        self.text, self.start = text, start
        self.name, key_id, coded = text.split("+", 2)
        raw = unbase64(coded)
        self.id = digest(self.name.encode(), b"\n", raw)[:4]
        if raw[:1] != b"\1" or self.id.hex() != key_id:
            raise ValueError("no verifier key of a known algorithm")
        self.public = Ed25519PublicKey.from_public_bytes(raw[1:])

    def signed(self, note: str) -> bool:  # lines of other keys count for nothing
        text, _, lines = note.rpartition("\n\n")
        ours = [row for row in lines.split("\n") if row.startswith(f"\u2014 {self.name} ")]
        raw = [unbase64(row.split(" ", 2)[2]) for row in ours]
        for signature in (good := [each[4:] for each in raw if each[:4] == self.id]):
            self.public.verify(signature, f"{text}\n".encode())
        return bool(good)


class Head:
    """A signed head: the first ``size`` events in one hash, the end of each object in another."""

    def __init__(self, note: str) -> None:
        self.said = lines = note.rpartition("\n\n")[0].split("\n")
        self.origin, size, root, algorithm, ends, self.time, self.before = lines
        self.note, self.size, self.root = note, int(size), unbase64(root)
        self.map = unbase64(ends.removeprefix("map sha256:"))
        if algorithm != "hash sha256":
            raise ValueError("hashed with an algorithm that is not known here")


class Check:
    """Takes the lines of one file in their order; ``finish`` sees whether all was there."""

    def __init__(self, told: dict[str, Any], kept: Sequence[Head]) -> None:
        self.origin, self.to, self.kept = told["origin"], told["to"], kept
        self.job = {"job": told["job_id"], "range": ""}[told["kind"]]
        self.first = self.next = 1 if self.job else told["from"]  # what must (job: may) follow
        self.events, self.tail, self.suspect, self.signed_to = 0, 0, 0, self.first - 1
        self.keys: list[Key] = []
        self.heads: list[Head] = []
        self.peaks: list[bytes] = []  # of the log's tree: its whole subtrees, the largest first
        self.leaves: dict[int, bytes] = {}  # of a job's events
        self.last: dict[str, End] = {}  # of each object here
        self.signed: dict[str, End] = {}  # the same, as far as the head of a job's file reaches
        self.ends: dict[str, Any] = {}  # the same, as the signed map has it
        self.most: dict[str, int] = {}  # how many parts, pieces or attempts an object speaks of

    def take(self, kind: str, told: Any) -> None:
        takers: dict[str, Any] = {"rotation": self.rotate, "head": self.head, "event": self.event}
        path = [unbase64(text) for text in told["hashes"]] if "hashes" in told else []
        if kind in takers:
            takers[kind](told)
        elif kind == "range_proof" and (self.next - 1).bit_count() == len(path):
            self.peaks = path
        elif kind == "inclusion":
            at, head = told["sequence"], self.heads[-1]
            if proved_root(self.leaves.pop(at), at - 1, head.size, path) != head.root:
                raise ProofError("is not what was signed", at, 1)
        elif kind == "map" and proved_map_root(**told) == self.heads[-1].map:
            self.ends[told["subject"]] = told["end"]
        else:
            raise ValueError(f"unknown, unproved or in the wrong place: {kind}")

    def rotate(self, note: str) -> None:
        origin, _, start, text, _, _ = note.rpartition("\n\n")[0].split("\n")
        self.keys.append(Key(text.removeprefix("vkey "), int(start.removeprefix("from "))))
        *_, old, new = (self.keys[0], *self.keys)
        ours = origin == f"{self.origin}/keys" and old.start <= new.start
        if not (ours and old.signed(note) and new.signed(note)):
            raise ValueError(f"{new.name} was not introduced by the key before it")

    def head(self, note: str) -> None:
        head = Head(note)
        *_, valid = (key for key in self.keys if key.start <= head.size)
        if head.origin != self.origin or not valid.signed(note):
            raise ProofError("the head of this size is not signed by its key", head.size, 1)
        for ahead in self.heads[-1:]:
            before = f"before sha256:{sha256(ahead.note.encode()).hexdigest()}"
            if self.job or head.before != before or head.size <= ahead.size:
                raise ProofError("the head of this size does not follow the last", head.size, 1)
        if self.job and any(k.size == head.size and k.said[:5] != head.said[:5] for k in self.kept):
            raise ProofError("the head of this size is another than you kept", head.size, 1)
        self.heads.append(head)

    def event(self, told: dict[str, Any]) -> None:
        at, subject, headers = told["sequence"], told["subject"], told["headers"]
        if at < self.next or (at > self.next and not self.job):
            raise ProofError("missing, or out of order", at if self.job else self.next, 1)
        covered = [text.encode() for text in (subject, *(headers.get(n, "") for n in COVERED))]
        found = "sha256:" + digest(lp(*covered, body := unbase64(told["body"]))).hex()
        if headers.pop("Imewe-Hash") != found or told.keys() != MEMBERS or headers.keys() - COVERED:
            raise ProofError("content does not match its hash", at, 1)
        version, before = int(headers["Imewe-Version"]), headers.get("Imewe-Prev-Hash", "")
        ahead = self.last.get(subject, (0, 0, "") if self.first == 1 else (version - 1, 0, before))
        if (version, before) != (ahead[0] + 1, ahead[2]):
            raise ProofError("does not continue the chain of its object", at, 1)
        self.last[subject] = version, at, found
        leaf = digest(b"\0", lp(b"%d" % at, *map(str.encode, (told["time"], subject, found))))
        self.suspect = self.suspect or (at if told["leaf"] != b64encode(leaf).decode() else 0)
        self.events, self.next = self.events + 1, at + 1
        if not self.job:
            return self.grow(leaf, at)
        self.leaves[at] = leaf
        self.signed |= {subject: self.last[subject]} if at <= self.heads[-1].size else {}
        event = json.loads(body)
        said = event.get("piece", -1) + 1, event.get("quantity", 0), event.get("attempt", 0)
        self.most[subject] = max(self.most.get(subject, 0), len(event.get("parts", ())), *said)

    def grow(self, leaf: bytes, at: int) -> None:  # to the tree that every head of this size signs
        index = at - 1
        while index & 1:
            leaf, index = digest(b"\1", self.peaks.pop(), leaf), index >> 1
        self.peaks.append(leaf)
        for head in [head for head in (*self.kept, *self.heads) if head.size == at]:
            root = reduce(lambda right, left: digest(b"\1", left, right), self.peaks[::-1])
            if root != head.root:
                raise ProofError("not what was signed", self.suspect or self.signed_to + 1, 1)
            self.signed_to = at

    def there(self, subject: str) -> bool:  # and then all that is signed of it must be here
        if subject not in self.ends:
            raise ProofError(f"nothing proves how far {subject} goes", None, 1)
        end, here = self.ends.pop(subject) or {}, self.signed.get(subject)
        known = tuple(end.values()) if "version" in end else None
        for at in [found[1] for found in (known, here) if found and known != here]:
            raise ProofError(f"left out, or more than what is signed: {subject}", at, 1)
        return self.last.pop(subject, None) is not None

    def below(self, above: str, kind: str = "", *deeper: str) -> None:  # up to one proved absent
        for number in range(kind == "build", 1 << 31 if kind else 0):
            cause = f"{kind}\x1f{above.rpartition('.')[2]}\x1f{number}"
            subject = f"imewe.events.{kind}.{uuid5(IMEWE, cause)}"
            if self.there(subject):
                self.below(subject, *deeper)
            elif number >= self.most.get(above, 0) + (kind == "build"):
                return

    def finish(self) -> None:  # see whether all is there, and how much is newer than the last head
        if not self.heads:
            raise ProofError("no signed head is in this file: ask for it again later", None, 2)
        if self.job:
            self.signed_to, job = self.heads[-1].size, f"imewe.events.job.{self.job}"
            self.there(job)
            self.below(job, "part", "dispatch", "build")
            strange = [end[1] for end in self.last.values()]
            for at in [*strange, *(at for at in self.leaves if at <= self.signed_to)]:
                raise ProofError("is not proved, or not of this job", at, 1)
        elif not self.heads[-1].size < self.next == self.to + 1:
            raise ProofError("missing at the end, or more than the file names", self.next, 1)
        self.tail = len(self.leaves) if self.job else self.next - 1 - self.signed_to
        low, high = (self.signed_to,) * 2 if self.job else (self.first, self.next - 1)
        if any(not low <= head.size <= high for head in self.kept):
            raise ProofError("the head that you kept cannot be compared with this file", None, 2)


def verify(path: Path, keys: Sequence[str] = (), kept: Sequence[Path] = ()) -> dict[str, Any]:
    """What the file proves. Raises ``ProofError``."""
    check, whole, line, number = None, sha256(), b"", 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while not (line := file.readline(8 << 20)).startswith(b'{"end":') or not check:
                number, told = number + 1, json.loads(line or b"cut off")
                whole.update(line)
                if line_of(told) != line:
                    raise ValueError("not in its one form")
                if check:
                    ((kind, value),) = told.items()
                    check.take(kind, value)
                elif told["imewe_proof"] == 1:
                    check = Check(told, [Head(path.read_text()) for path in kept])
            check.finish()
            line += file.read(1)
    except ProofError:
        raise
    except Exception as error:
        if not check:
            raise ProofError(f"no proof file: {error}", None, 2) from error
        named = re.search(rb'"sequence":(\d+)', line) if check.job else None
        at = int(named[1]) if named else None if check.job or not check.events else check.next
        raise ProofError(f"line {number} is damaged: {error}", at, 1) from error
    end = {"events": check.events, "unsigned_tail": check.tail, "sha256": whole.hexdigest()}
    if line_of({"end": end}) != line or check.suspect:
        raise ProofError("the file was changed: its hashes do not fit", check.suspect or None, 1)
    if keys and not {key.text for key in check.keys} & {*keys}:
        raise ProofError("no key of this file is one that you gave", None, 1)
    if check.tail == check.events:
        raise ProofError("no signed head covers these events yet: ask again later", None, 2)
    what = f"job {check.job}" if check.job else f"events {check.first} to {check.signed_to}"
    head, end["signed"] = check.heads[-1], check.events - check.tail
    told = {"verified": True, "what": what, "size": head.size, "key": check.keys[0].text, **end}
    return told | {"time": head.time.removeprefix("time ")}


def main(words: Sequence[str] | None = None) -> int:
    """Check one file and tell; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--key", action="append", default=[])
    parser.add_argument("--head", action="append", default=[], type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(words)
    try:
        code, found = 0, verify(asked.file, asked.key, asked.head)
        told = f"""VERIFIED: {found["what"]}: {found["signed"]} events are as they were signed
newest signed head: {found["size"]} events, {found["time"]}
key: {found["key"]} ({"yours" if found["key"] in asked.key else "the first in the file: compare"})
unsigned tail: {found["unsigned_tail"]} events, not verified"""
    except ProofError as error:
        reason, at, code = error.args
        found = {"verified": False, "sequence": at, "reason": reason}
        verdict = ("VERIFIED", "TAMPERED WITH", "PROVES NOTHING")[code]
        told = f"{verdict}: {'' if at is None else f'event {at}: '}{reason}"
    sys.stdout.write((json.dumps({**found, "exit": code}) if asked.json else told) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
