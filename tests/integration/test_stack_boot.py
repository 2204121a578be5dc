"""The set-up script where there is neither pip nor venv: the wheel from the user's own index."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ops import boot

VERSION = "9.9.9"
SYSTEM = f"py3-none-manylinux_2_17_{boot.machine()}.manylinux2014_{boot.machine()}"
NAME = f"uv-{VERSION}-{SYSTEM}.whl"


@pytest.fixture
def wheel() -> bytes:
    """A wheel of a pretended uv."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"uv-{VERSION}.data/scripts/uv", f"#!/bin/sh\necho uv {VERSION}\n")
    return file.getvalue()


@pytest.fixture
def index(
    wheel: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[ThreadingHTTPServer]:
    """A package index on the loopback that has only that."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = f'<a href="../../files/{NAME}#sha256=0">{NAME}</a>'.encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page if self.path == "/simple/uv/" else wheel)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    monkeypatch.delenv("PIP_CERT", raising=False)
    monkeypatch.setattr(boot, "UV", tmp_path / ".uv")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.usefixtures("index")
def test_the_wheel_is_taken_from_the_users_own_index(wheel: bytes) -> None:
    found = boot.by_download(VERSION, {hashlib.sha256(wheel).hexdigest()})
    assert boot.is_version(found, VERSION)


@pytest.mark.usefixtures("index")
def test_a_wheel_that_the_lock_does_not_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the one"):
        boot.by_download(VERSION, {"0" * 64})
    assert not (tmp_path / ".uv").exists()


def test_what_pip_was_told_is_handed_on_to_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_CERT", "/my/ca.pem")
    for name in ("UV_DEFAULT_INDEX", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    environment = boot.uv_environment()
    assert environment["UV_DEFAULT_INDEX"] == "http://127.0.0.1:9/simple"
    assert environment["SSL_CERT_FILE"] == "/my/ca.pem"
    assert environment["UV_PYTHON_DOWNLOADS"] == "never"


def test_uv_is_pinned_in_the_lock() -> None:
    assert boot.PINNED is not None
    assert boot.PINNED[2].count("--hash=sha256:") > 5
