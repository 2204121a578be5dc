"""Hands signed notes over to places outside: a file, a folder, an HTTP endpoint, a mail box.

Each way raises ``DeliveryError`` when it is not certain that the place has them; the same notes
then come again.
"""

import os
import smtplib
import ssl
import urllib.request
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from urllib.error import HTTPError

import orjson

from ops.notary.head_stream import Signed
from ops.notary.heads import fingerprint
from ops.notary.places import DeliveryError, Kind, Place, Security

TIMEOUT_S = 10.0


def deliver(place: Place, notes: Sequence[Signed]) -> None:
    """Hand the notes over, in order. Raises ``DeliveryError``."""
    try:
        WAYS[place.kind](place, notes)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise DeliveryError(f"{place.name} ({place.to}): {error}") from error


def _to_file(place: Place, notes: Sequence[Signed]) -> None:
    """One JSON line per note, as in an export: ``{"head": ...}`` or ``{"rotation": ...}``."""
    lines = [orjson.dumps({_word(note): note.note}) + b"\n" for note in notes]
    with Path(place.to).open("ab+") as file:
        if file.tell() and not _ends_a_line(file.fileno(), file.tell()):
            lines.insert(0, b"\n")  # a line that a crash cut short
        file.write(b"".join(lines))
        file.flush()
        os.fsync(file.fileno())


def _ends_a_line(descriptor: int, size: int) -> bool:
    return os.pread(descriptor, 1, size - 1) == b"\n"


def _to_folder(place: Place, notes: Sequence[Signed]) -> None:
    """One file per note, named after its place in the stream of heads."""
    folder = Path(place.to)
    folder.mkdir(parents=True, exist_ok=True)
    for note in notes:
        path = folder / f"{note.sequence:012}.{_word(note)}"
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(note.note)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)


def _to_http(place: Place, notes: Sequence[Signed]) -> None:
    """One POST per note, whose body is the note; any answer of 200 to 299 means: I have it."""
    for note in notes:
        request = urllib.request.Request(
            place.to,
            data=note.note.encode(),
            method="POST",
            headers={
                "Content-Type": "text/plain; charset=utf-8",
                "Idempotency-Key": fingerprint(note.note),
                "Imewe-Note": _word(note),
            },
        )
        try:
            with _opener().open(request, timeout=TIMEOUT_S) as answer:
                answer.read()
        except HTTPError as refusal:
            refusal.close()  # it holds the connection
            raise


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET and look as if it had been taken."""

    def redirect_request(self, *_: object) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))


def _to_mail(place: Place, notes: Sequence[Signed]) -> None:
    """One mail with all the notes."""
    message = EmailMessage()
    message["From"] = place.sender
    message["To"] = place.to
    message["Date"] = formatdate()
    message["Subject"] = f"Imewe: {len(notes)} signed notes of the log"
    message["Message-ID"] = f"<{fingerprint(''.join(n.note for n in notes))[:32]}@imewe.notary>"
    message.set_content("\n".join(note.note for note in notes), cte="base64")
    host, _, port = place.server.rpartition(":")
    secure = place.security is Security.TLS
    opened = (
        smtplib.SMTP_SSL(host, int(port), timeout=TIMEOUT_S, context=ssl.create_default_context())
        if secure
        else smtplib.SMTP(host, int(port), timeout=TIMEOUT_S)
    )
    with opened as server:
        if place.security is Security.STARTTLS:
            server.starttls(context=ssl.create_default_context())
        if place.user:
            server.login(place.user, place.password)
        server.send_message(message)


def _word(note: Signed) -> str:
    return "rotation" if note.is_key else "head"


WAYS: dict[Kind, Callable[[Place, Sequence[Signed]], None]] = {
    Kind.FILE: _to_file,
    Kind.FOLDER: _to_folder,
    Kind.HTTP: _to_http,
    Kind.MAIL: _to_mail,
}
