"""Where signed notes are to be written besides the log's own server; kept in ``notary.json``."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from domain.shared.checks import word
from domain.shared.errors import ImeweError, InvalidInputError, NotFoundError
from ops.hosting.home import read_note, write_private

FILE = "notary.json"


class DeliveryError(ImeweError):
    """It is not certain that a place got what it should have."""

    code = "NOT_DELIVERED"


class Kind(StrEnum):
    """The ways out."""

    FILE = "file"
    FOLDER = "folder"
    HTTP = "http"
    MAIL = "mail"


class Security(StrEnum):
    """How a mail server is spoken to."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One place. ``to``: a path, an address of the web, or a mail address.

    ``every_s``: the least seconds from one delivery to the next; what comes meanwhile waits. The
    rest is for mail: ``server`` is ``host:port``.
    """

    name: str
    kind: Kind
    to: str
    every_s: float = 0.0
    server: str = ""
    sender: str = ""
    security: Security = Security.STARTTLS
    user: str = ""
    password: str = ""

    @property
    def shown(self) -> dict[str, Any]:
        """All but the password."""
        return {name: value for name, value in asdict(self).items() if name != "password"}

    def check(self) -> None:
        """Raises ``InvalidInputError`` when nothing could ever be delivered there."""
        word("name", self.name)
        parts = urlsplit(self.to)
        match self.kind:
            case Kind.FILE | Kind.FOLDER if not Path(self.to).is_absolute():
                raise InvalidInputError("a path from the root is needed", field="to")
            case Kind.HTTP if parts.scheme not in ("http", "https") or not parts.hostname:
                raise InvalidInputError("an http or https address is needed", field="to")
            case Kind.MAIL:
                self._check_mail()

    def _check_mail(self) -> None:
        host, _, port = self.server.rpartition(":")
        if not host or not port.isdigit():
            raise InvalidInputError("mail needs a server as host:port", field="server")
        for name, value in (("to", self.to), ("sender", self.sender)):
            if value.count("@") != 1 or any(letter.isspace() for letter in value):
                raise InvalidInputError("mail needs a mail address", field=name)


def places(home: Path) -> list[Place]:
    """Every place that was added. Raises ``InvalidInputError`` when the file is not ours."""
    path = home / FILE
    try:
        return [_place(told) for told in read_note(path).get("publish", [])]
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InvalidInputError(f"{path} cannot be read: {error}") from error


def add_place(home: Path, place: Place) -> None:
    """Publish there from now on. Raises ``InvalidInputError``, also when the name is taken."""
    place.check()
    known = places(home)
    if any(each.name == place.name for each in known):
        raise InvalidInputError(f"there is a place named {place.name} already", field="name")
    _write(home, [*known, place])


def remove_place(home: Path, name: str) -> None:
    """Publish there no more. Raises ``NotFoundError``."""
    known = places(home)
    left = [each for each in known if each.name != name]
    if len(left) == len(known):
        raise NotFoundError(f"there is no place named {name}", field="name")
    _write(home, left)


def _place(told: dict[str, Any]) -> Place:
    security = Security(told.get("security", Security.STARTTLS))
    return Place(**{**told, "kind": Kind(told["kind"]), "security": security})


def _write(home: Path, known: Sequence[Place]) -> None:
    kept = {"publish": [asdict(each) for each in known]}
    write_private(home / FILE, orjson.dumps(kept, option=orjson.OPT_INDENT_2).decode())
