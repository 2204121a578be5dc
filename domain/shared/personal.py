"""Personal data as the domain carries it: sealed, and unreadable here."""

import re
from dataclasses import dataclass
from typing import Final, Self

_COMPACT: Final = (
    r"sealed:(?P<enc>[A-Z0-9]+):(?P<key>[0-9A-Za-z_-]+\.[0-9a-f]{8})"
    r":(?P<nonce>[A-Za-z0-9+/]+=*):(?P<ct>[A-Za-z0-9+/]+=*)"
)
SEALED: Final = re.compile(_COMPACT)
"""A sealed text inside another one, for example inside the sentence that tells an event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Personal:
    """A person's text under that person's key. All fields are base64 but the two names.

    ``enc`` names the algorithm (``A256GCM``), ``key`` the data subject's key: the subject's id, a
    full stop and the key's mark.
    """

    enc: str
    key: str
    nonce: str
    ct: str

    @property
    def subject_id(self) -> str:
        """Whose text it is."""
        return self.key.partition(".")[0]

    def stored(self) -> dict[str, str]:
        """The form in which events and read models keep a field that is always sealed."""
        return {"enc": self.enc, "key": self.key, "nonce": self.nonce, "ct": self.ct}

    def compact(self) -> str:
        """The same in one word, for a field that may hold a person's words or a machine's."""
        return f"sealed:{self.enc}:{self.key}:{self.nonce}:{self.ct}"

    @classmethod
    def from_stored(cls, stored: dict[str, str]) -> Self:
        """Read the stored form."""
        return cls(enc=stored["enc"], key=stored["key"], nonce=stored["nonce"], ct=stored["ct"])

    @classmethod
    def from_compact(cls, text: str) -> Self | None:
        """Read the one word; ``None`` for any other text."""
        found = SEALED.fullmatch(text)
        return cls(**found.groupdict()) if found else None


def is_sealed(text: str) -> bool:
    """Whether a text is the compact form of a sealed one."""
    return SEALED.fullmatch(text) is not None
