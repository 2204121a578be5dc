"""Another key-encryption key, without touching the log.

A new KEK is put in front of the old one; every key that the old one wraps is wrapped by the new
one under a new name, and the old name erased; when nothing is left under the old one, it is
destroyed. Killed at any moment it goes on where it was: the two KEKs in the home's file say so.
"""

from threading import Lock
from typing import NamedTuple

from domain.shared.errors import UnavailableError
from ops.eventstore.keyring import Keyring
from ops.eventstore.personal import Secrets

SWEEPS = 100
"""Each moves what was made while the one before ran."""


class RotationStatus(NamedTuple):
    """``kek_id``: the current KEK. ``left``: keys still wrapped by older ones."""

    kek_id: str
    running: bool
    left: int


class KekRotation:
    """One home's. Safe to share by threads: one of them does the work, the others return."""

    def __init__(self, secrets: Secrets, keyring: Keyring) -> None:
        self._secrets = secrets
        self._keyring = keyring
        self._turn = Lock()

    def begin(self) -> RotationStatus:
        """Put a new KEK in front, unless a rotation runs already."""
        self._keyring.begin_rotation()
        return self.status()

    def status(self) -> RotationStatus:
        """How far it is."""
        current, *older = self._keyring.keks()
        left = sum(len(self._secrets.subjects_under(kek)) for kek in older)
        return RotationStatus(current.id, bool(older), left)

    def finish(self) -> bool:
        """Rewrap what is left and destroy the older KEKs; False when no rotation runs, or another
        thread does it.

        Raises ``UnavailableError`` when the store does not answer; say it again.
        """
        if len(self._keyring.keks()) == 1 or not self._turn.acquire(blocking=False):
            return False
        try:
            for _ in range(SWEEPS):
                if not self._sweep():
                    self._keyring.end_rotation()
                    return True
            raise UnavailableError("keys keep being made under an older key-encryption key")
        finally:
            self._turn.release()

    def _sweep(self) -> bool:
        """Whether anything had to be moved."""
        current, *older = self._keyring.keks()
        moved = False
        for kek in older:
            for subject_id in self._secrets.subjects_under(kek):
                self._secrets.rewrap(subject_id, old=kek, new=current)
                moved = True
        return moved
