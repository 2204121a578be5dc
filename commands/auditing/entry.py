"""One line of the audit trail: who tried what, and what became of it."""

import ipaddress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self

import orjson

NOBODY = "nobody"
"""The actor while nothing proves who it is."""
ALLOWED = "OK"
LONGEST = 200


class Sameness(NamedTuple):
    """What makes two entries of a minute the same."""

    actor: str
    action: str
    resource: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """``actor`` is ``<kind>/<id>`` or ``nobody``, ``action`` a command or ``login`` or what was to
    be read, ``outcome`` ``OK`` or the code of the refusal and ``reason`` its words.

    ``count`` is how many are meant: 1 for the first of a minute, later the number of those that
    followed in that minute; ``at`` is then when the last of them came. No personal data: people
    are ids, a mail address that nobody has is an opaque name, and a network address that belongs
    to a person is stored sealed.
    """

    at: datetime
    actor: str
    action: str
    outcome: str
    resource: str = ""
    reason: str = ""
    address: str = ""
    organisation_id: str = ""
    correlation_id: str = ""
    count: int = 1

    @property
    def sameness(self) -> Sameness:
        return Sameness(self.actor, self.action, self.resource)

    @property
    def minute(self) -> datetime:
        """The minute it belongs to."""
        return minute_of(self.at)

    def body(self) -> bytes:
        """As it is stored."""
        return orjson.dumps(asdict(self))

    @classmethod
    def of(cls, body: bytes) -> Self:
        """Read it again."""
        told: dict[str, Any] = orjson.loads(body)
        return cls(**{**told, "at": datetime.fromisoformat(told["at"])})


def minute_of(moment: datetime) -> datetime:
    """The begin of its minute."""
    return moment.replace(second=0, microsecond=0)


def plain(text: str) -> str:
    """What somebody outside said, short and printable."""
    return "".join(letter for letter in text[:LONGEST] if letter.isprintable()).strip()


def ip_address(text: str) -> str:
    """The canonical form of an address; empty for what is none."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
