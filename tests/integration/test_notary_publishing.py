"""Signed heads reach a file, a folder, an HTTP endpoint and a mail box, each on a real server."""

import base64
import email
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from domain.shared.errors import InvalidInputError, NotFoundError
from ops.eventstore.client import Client
from ops.hosting.home import make_home
from ops.messaging.server import EmbeddedNats
from ops.notary.head_stream import HeadStream
from ops.notary.places import Kind, Place, Security, add_place, places, remove_place
from ops.notary.publishing import Publisher
from tests.notarial import DEADLINE_S, Shop, opened_shop


def soon(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


class Endpoint:
    """Takes POSTs; the first ``refusing`` ones are answered by ``status``."""

    def __init__(self, *, refusing: int = 0, status: int = 503) -> None:
        self.taken: list[tuple[str, str, str]] = []
        self.refused = 0
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                if endpoint.refused < refusing:
                    endpoint.refused += 1
                    self.send_response(status)
                    self.send_header("Location", "/elsewhere")
                else:
                    told = self.headers["Imewe-Note"], self.headers["Idempotency-Key"]
                    endpoint.taken.append((*told, body))
                    self.send_response(204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/heads"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class MailServer:
    """Just enough of SMTP (RFC 5321) to take mails; ``login`` is what AUTH must say, if any."""

    def __init__(self, *, login: str = "") -> None:
        self.mails: list[str] = []
        self._login = login
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                talking, _ = self._socket.accept()
            except OSError:
                return
            with talking, talking.makefile("rwb") as lines:
                self._talk(lines)

    def _talk(self, lines: Any) -> None:
        def say(text: str) -> None:
            lines.write(text.encode() + b"\r\n")
            lines.flush()

        known = not self._login
        say("220 a mail server")
        while word := lines.readline().decode().strip():
            match word.split(" ")[0].upper():
                case "EHLO":
                    say("250-hello")
                    say("250 AUTH PLAIN")
                case "AUTH":
                    known = base64.b64decode(word.split(" ")[2]).decode() == self._login
                    say("235 ok" if known else "535 no")
                case "MAIL" | "RCPT":
                    say("250 ok" if known else "530 log in first")
                case "DATA":
                    say("354 go on")
                    text = b""
                    while (line := lines.readline()) != b".\r\n":
                        text += line
                    self.mails.append(text.decode())
                    say("250 taken")
                case "QUIT":
                    say("221 bye")
                    return
                case _:
                    say("250 ok")


@pytest.fixture
def shop(fresh_nats: EmbeddedNats, fresh_home: Path) -> Iterator[Shop]:
    with opened_shop(fresh_nats, fresh_home) as opened:
        yield opened


@pytest.fixture
def stream(shop: Shop) -> Iterator[HeadStream]:
    client = Client(shop.address("log_notary"))
    found = HeadStream(client)
    found.append("key one\n", is_key=True, after=0)
    found.append("head one\n", is_key=False, after=1)
    found.append("head two\n", is_key=False, after=2)
    yield found
    client.close()


@pytest.fixture
def home(fresh_home: Path) -> Path:
    make_home(fresh_home)
    return fresh_home


@contextmanager
def publishing(stream: HeadStream, home: Path) -> Iterator[Publisher]:
    publisher = Publisher(stream, home, first_pause_s=0.05)
    thread = threading.Thread(target=publisher.run)
    thread.start()
    try:
        yield publisher
    finally:
        publisher.stop()
        thread.join()


def test_a_file_gets_every_note_once_and_goes_on_after_a_restart(
    stream: HeadStream, home: Path, tmp_path: Path
) -> None:
    path = tmp_path / "heads.jsonl"
    add_place(home, Place(name="usb", kind=Kind.FILE, to=str(path)))
    with publishing(stream, home) as publisher:
        soon(lambda: publisher.status()[0]["delivered"] == 3)
    path.write_bytes(path.read_bytes() + b'{"head":"cut sh')
    stream.append("head three\n", is_key=False, after=3)
    with publishing(stream, home) as publisher:
        soon(lambda: publisher.status()[0]["delivered"] == 4)
    lines = path.read_text().splitlines()
    assert [json.loads(line) for line in (*lines[:3], lines[4])] == [
        {"rotation": "key one\n"},
        {"head": "head one\n"},
        {"head": "head two\n"},
        {"head": "head three\n"},
    ]


def test_a_folder_gets_one_file_per_note(stream: HeadStream, home: Path, tmp_path: Path) -> None:
    add_place(home, Place(name="disk", kind=Kind.FOLDER, to=str(tmp_path / "heads")))
    with publishing(stream, home) as publisher:
        soon(lambda: publisher.status()[0]["delivered"] == 3)
    found = {path.name: path.read_text() for path in (tmp_path / "heads").iterdir()}
    assert found == {
        "000000000001.rotation": "key one\n",
        "000000000002.head": "head one\n",
        "000000000003.head": "head two\n",
    }


@pytest.mark.parametrize("status", [503, 302])
def test_an_endpoint_that_fails_gets_everything_later(
    stream: HeadStream, home: Path, status: int
) -> None:
    endpoint = Endpoint(refusing=2, status=status)
    add_place(home, Place(name="web", kind=Kind.HTTP, to=endpoint.url))
    with publishing(stream, home) as publisher:
        soon(lambda: publisher.status()[0]["delivered"] == 3)
        assert publisher.status()[0]["problem"] == ""
    endpoint.close()
    assert [(word, body) for word, _, body in endpoint.taken] == [
        ("rotation", "key one\n"),
        ("head", "head one\n"),
        ("head", "head two\n"),
    ]
    assert len({key for _, key, _ in endpoint.taken}) == 3
    assert endpoint.refused == 2


def test_a_place_that_is_away_is_said_and_holds_up_no_other(
    stream: HeadStream, home: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        away = f"http://127.0.0.1:{taken.getsockname()[1]}/"
    add_place(home, Place(name="away", kind=Kind.HTTP, to=away))
    add_place(home, Place(name="usb", kind=Kind.FILE, to=str(tmp_path / "heads")))
    with publishing(stream, home) as publisher:
        soon(lambda: publisher.status()[1]["delivered"] == 3)
        soon(lambda: "away" in publisher.status()[0]["problem"])
        assert publisher.status()[0]["delivered"] == 0


def test_a_mail_box_gets_what_is_signed_from_now_on_in_one_mail(
    stream: HeadStream, home: Path
) -> None:
    server = MailServer(login="\0me\0secret")
    told = {"server": server.address, "sender": "imewe@example.org", "user": "me"}
    box = Place(
        name="box",
        kind=Kind.MAIL,
        to="auditor@example.org",
        security=Security.NONE,
        password="secret",
        **told,
    )
    add_place(home, box)
    with publishing(stream, home) as publisher:
        soon(lambda: publisher.status()[0]["delivered"] == 3)
        stream.append("head \u2014 three\n", is_key=False, after=3)
        soon(lambda: publisher.status()[0]["delivered"] == 4)
    server.close()
    (mail,) = server.mails
    read = email.message_from_string(mail)
    assert read["To"] == "auditor@example.org"
    payload = read.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode() == "head \u2014 three\n"


def test_a_wrong_password_is_a_problem_that_is_said(stream: HeadStream, home: Path) -> None:
    server = MailServer(login="\0me\0secret")
    box = Place(
        name="box",
        kind=Kind.MAIL,
        to="auditor@example.org",
        server=server.address,
        sender="imewe@example.org",
        security=Security.NONE,
        user="me",
        password="wrong",
    )
    add_place(home, box)
    with publishing(stream, home) as publisher:
        soon(lambda: publisher.status()[0]["delivered"] == 3)
        stream.append("head three\n", is_key=False, after=3)
        soon(lambda: "535" in publisher.status()[0]["problem"])
    server.close()
    assert server.mails == []


def test_places_are_kept_for_their_owner_only_without_showing_passwords(home: Path) -> None:
    box = Place(
        name="box",
        kind=Kind.MAIL,
        to="a@b",
        server="mail:25",
        sender="c@d",
        password="secret",
    )
    add_place(home, box)
    assert places(home) == [box]
    assert (home / "notary.json").stat().st_mode & 0o777 == 0o600
    assert "secret" not in str(box.shown)
    with pytest.raises(InvalidInputError, match="already"):
        add_place(home, box)
    remove_place(home, "box")
    assert places(home) == []
    with pytest.raises(NotFoundError):
        remove_place(home, "box")


@pytest.mark.parametrize(
    ("place", "field"),
    [
        (Place(name="a b", kind=Kind.FILE, to="/x"), "name"),
        (Place(name="a", kind=Kind.FILE, to="x"), "to"),
        (Place(name="a", kind=Kind.HTTP, to="file:///etc/passwd"), "to"),
        (Place(name="a", kind=Kind.MAIL, to="a@b", sender="c@d", server="mail"), "server"),
        (Place(name="a", kind=Kind.MAIL, to="a@b\r\nBcc: x@y", sender="c@d", server="m:25"), "to"),
        (Place(name="a", kind=Kind.MAIL, to="a@b", server="m:25"), "sender"),
    ],
)
def test_a_place_that_can_never_work_is_refused(home: Path, place: Place, field: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        add_place(home, place)
    assert refused.value.field == field
    assert places(home) == []
