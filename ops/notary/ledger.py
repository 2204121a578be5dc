"""What was signed so far, by which keys, and signing the next: the notary's side of its stream."""

from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import structlog

from domain.shared.errors import ConflictError
from ops.eventstore.chain import Flaw
from ops.eventstore.envelope import time_text
from ops.notary.head_stream import HeadStream, Signed
from ops.notary.heads import Head, NoteError, fingerprint, open_note, sign_head
from ops.notary.keys import (
    NotaryKey,
    Rotation,
    VerifierKey,
    load_key,
    make_key,
    open_rotation,
    sign_rotation,
)

NEWEST_LOST = "the stream of heads no longer holds the newest head that was signed"
FORKED = "two heads that were signed do not follow one another"

log = structlog.get_logger()


class FlawError(Exception):
    """The log, or what was signed over it, is not what it was. Nothing is signed any more."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(f"event {flaw.sequence}: {flaw.reason}")
        self.flaw = flaw


class Ledger:
    """Follows the stream of heads and adds to it. One caller at a time.

    ``unproved`` are heads found in the stream whose hashes this notary has not compared with its
    own trees yet; while there are any it signs nothing.
    """

    def __init__(self, stream: HeadStream, home: Path, *, now: Callable[[], datetime]) -> None:
        self._stream = stream
        self._home = home
        self._now = now
        self._at = 0
        self._head_at = 0
        self._key_notes: list[str] = []
        self._rotations: list[Rotation] = []
        self.origin = ""
        self.note = ""
        self.head: Head | None = None
        self.unproved: deque[Head] = deque()

    @property
    def signed(self) -> int:
        """How many events the newest head covers."""
        return self.head.size if self.head else 0

    @property
    def keys(self) -> list[tuple[Rotation, str]]:
        """Every key and from which size on it signs, the oldest first, with the notes."""
        return list(zip(self._rotations, self._key_notes, strict=False))

    def recall(self, kept: Mapping[str, Any]) -> None:
        """Go on from what ``words`` said when it was saved, and compare it with the stream.

        Raises ``FlawError`` when the stream does not hold the newest head any more.
        """
        for note in kept.get("keys") or []:
            self._add_key(note)
        if note := kept.get("head"):
            self.note, self._head_at, self._at = note, kept["head_at"], kept["at"]
            self.head = self._read_head(note)
            self.unproved.append(self.head)
            found = self._stream.stretch(self._head_at, 1)
            if not found or found[0] != Signed(self._head_at, False, note):
                raise FlawError(Flaw(self.signed, NEWEST_LOST))

    def words(self) -> dict[str, Any]:
        """What to save for ``recall``."""
        return {
            "keys": self._key_notes,
            "head": self.note,
            "head_at": self._head_at,
            "at": self._at,
        }

    def look(self) -> None:
        """Take in what is new in the stream. Raises ``FlawError`` when heads do not follow."""
        for signed in self._stream.after(self._at):
            try:
                if signed.is_key:
                    self._add_key(signed.note)
                else:
                    self._add_head(signed)
            except NoteError as error:
                log.warning("a note that nobody signed", at=signed.sequence, reason=error.message)
            self._at = signed.sequence

    def begin(self) -> None:
        """Name the log and make its first key, when the stream holds none."""
        if self._rotations:
            return
        self.origin = f"imewe.log/{uuid4()}"
        key = make_key(self._home, self.origin, 1)
        self._publish_key(None, key, size=0)

    def sign(self, size: int, *, root: bytes, map_root: bytes) -> bool:
        """Sign and publish a head; False when another notary was first.

        Raises ``UnavailableError``; what became of the head is then found by ``look``.
        """
        before = fingerprint(self.note) if self.note else ""
        time = self._time()
        head = Head(
            origin=self.origin, size=size, root=root, map_root=map_root, time=time, before=before
        )
        note = sign_head(head, self._own(self._rotations[-1]))
        try:
            at = self._stream.append(note, is_key=False, after=self._at)
        except ConflictError:
            return False
        self.head, self.note, self._head_at, self._at = head, note, at, at
        return True

    def rotate(self) -> Rotation:
        """Make the next key, which signs from the next head on. Raises ``ConflictError``."""
        old = self._rotations[-1]
        new = make_key(self._home, self.origin, old.number + 1)
        self._publish_key(self._own(old), new, size=self.signed + 1)
        return self._rotations[-1]

    def own_key(self) -> None:
        """Raises ``InvalidInputError`` when this home lacks the key that signs now."""
        self._own(self._rotations[-1])

    def _own(self, rotation: Rotation) -> NotaryKey:
        key = load_key(self._home, self.origin, rotation.number)
        if key.verifier != rotation.key:
            raise NoteError(
                f"this home's key {rotation.number} is not the one that signs this log",
                remedy="put the key back from a backup",
            )
        return key

    def _time(self) -> str:
        """Now, but never before the newest head: heads follow one another, clocks may be set."""
        now = time_text(self._now())
        if self.head is None or now >= self.head.time:
            return now
        log.warning("the clock was set back since the newest head", now=now, head=self.head.time)
        return self.head.time

    def _publish_key(self, old: NotaryKey | None, new: NotaryKey, *, size: int) -> None:
        rotation = Rotation(
            origin=self.origin,
            number=len(self._rotations) + 1,
            size=size,
            key=new.verifier,
            time=time_text(self._now()),
            before=fingerprint(self._key_notes[-1]) if self._key_notes else "",
        )
        note = sign_rotation(rotation, old=old, new=new)
        self._at = self._stream.append(note, is_key=True, after=self._at)
        self._add_key(note)

    def _add_key(self, note: str) -> None:
        known = self._rotations[-1] if self._rotations else None
        rotation = open_rotation(note, known.key if known else None)
        before = fingerprint(self._key_notes[-1]) if self._key_notes else ""
        if rotation.number != len(self._rotations) + 1 or rotation.before != before:
            raise NoteError("a rotation that does not follow the one before")
        self.origin = self.origin if known else rotation.origin
        self._rotations.append(rotation)
        self._key_notes.append(note)

    def _add_head(self, signed: Signed) -> None:
        head = self._read_head(signed.note)
        before = fingerprint(self.note) if self.note else ""
        if head.origin != self.origin or head.before != before or head.size <= self.signed:
            raise FlawError(Flaw(head.size, FORKED))
        self.head, self.note, self._head_at = head, signed.note, signed.sequence
        self.unproved.append(head)

    def _read_head(self, note: str) -> Head:
        text = note.rpartition("\n\n")[0] + "\n"
        head = Head.read(text)
        open_note(note, [self._key_of(head.size)])
        return head

    def _key_of(self, size: int) -> VerifierKey:
        for rotation in reversed(self._rotations):
            if rotation.size <= size:
                return rotation.key
        raise NoteError("a head from before the first key")
