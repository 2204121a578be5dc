"""Personal data as the domain carries it: sealed, and unreadable here."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Personal:
    """A person's text under that person's key. All fields are base64 but the two names.

    ``enc`` names the algorithm (``A256GCM``), ``key`` the data subject's key.
    """

    enc: str
    key: str
    nonce: str
    ct: str

    def stored(self) -> dict[str, str]:
        """The form in which events, snapshots and read models keep it."""
        return {"enc": self.enc, "key": self.key, "nonce": self.nonce, "ct": self.ct}

    @classmethod
    def from_stored(cls, stored: dict[str, str]) -> Self:
        """Read the stored form."""
        return cls(enc=stored["enc"], key=stored["key"], nonce=stored["nonce"], ct=stored["ct"])
