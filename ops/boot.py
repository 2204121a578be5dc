"""Sets up .uv/ and .venv/ for this checkout. Run by make; standard library only, Python 3.11+.

uv comes, in the version that requirements.lock names, from PATH, from pip, from a throw-away
virtual environment, or, where PIP_INDEX_URL names an index, as the wheel itself. No host name
stands here: what pip was told about indexes and certificates is handed on to uv.
"""

import hashlib
import html.parser
import os
import pathlib
import platform
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOCK = (ROOT / "requirements.lock").read_text()
UV, VENV = ROOT / ".uv", ROOT / ".venv"
PINNED = re.search(r"^uv==(\S+) \\\n((?: +--hash=\S+(?: \\)?\n)+)", LOCK, re.M)
HELP = """imewe: cannot get the installer 'uv'. Any ONE of these is enough, then run make again:
  Debian/Ubuntu:  apt install python3-venv      (Fedora: dnf install python3-pip)
  own index:      export PIP_INDEX_URL=https://YOUR-INDEX/simple   (and PIP_CERT=/path/ca.pem)
  or put uv {version} on PATH.
Tried:  {tried}"""


class Links(html.parser.HTMLParser):
    """The addresses on an index page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 (to say so rather than to fail somehow)
        sys.exit(f"imewe: needs Python 3.11 or later, this is {platform.python_version()}")
    if PINNED is None:
        sys.exit("imewe: requirements.lock does not name uv")
    version, hashes = PINNED[1], set(re.findall(r"sha256:(\w+)", PINNED[2]))
    uv = find_uv(version, hashes)
    environment = uv_environment()

    def run(*words: str | pathlib.Path) -> None:
        if subprocess.run([uv, *words], cwd=ROOT, env=environment, check=False).returncode:
            sys.exit(f"imewe: uv {words[0]} failed")

    python = VENV / "bin" / "python"
    stamp = VENV / ".stamp"
    if not stamp.exists() or stamp.read_text() != str(ROOT):  # moved, broken or not there
        run("venv", "-q", "--clear", "--no-project", "--python", sys.executable, VENV)
    stamp.unlink(missing_ok=True)
    run("pip", "sync", "-q", "--require-hashes", "--python", python, "requirements.lock")
    own = ("--no-deps", "--no-build-isolation", "-e", ".")  # sync removes us too
    run("pip", "install", "-q", "--python", python, *own)
    stamp.write_text(str(ROOT))


def find_uv(version: str, hashes: set[str]) -> str:
    own = UV / "bin" / "uv"
    tried = []
    ways: list[tuple[str, Callable[[], str]]] = [
        ("PATH", lambda: shutil.which("uv") or "what is there"),
        ("kept", lambda: str(own)),
        ("python3 -m pip", lambda: by_pip([sys.executable, "-m", "pip"])),
        ("python3 -m venv", by_venv),
        ("download", lambda: by_download(version, hashes)),
    ]
    for name, way in ways:
        try:
            found = way()
            if is_version(found, version):
                return found
            tried.append(f"{name}: {found} is not uv {version}")
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            tried.append(f"{name}: {said.strip().splitlines()[-1] if said.strip() else 'failed'}")
    return sys.exit(HELP.format(version=version, tried="\n        ".join(tried)))


def is_version(program: str, version: str) -> bool:
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return said.stdout.split()[1:2] == [version]


def by_pip(pip: list[str]) -> str:
    """pip takes the file only if its hash stands in the lock."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = pathlib.Path(folder) / "uv.txt"
        wanted.write_text(PINNED[0] if PINNED else "")
        options = ["install", "-q", "--require-hashes", "--no-deps", "--only-binary", ":all:"]
        where = ["--upgrade", "--target", str(UV), "-r", str(wanted)]
        subprocess.run([*pip, *options, *where], capture_output=True, text=True, check=True)
    return str(UV / "bin" / "uv")


def by_venv() -> str:
    with tempfile.TemporaryDirectory() as folder:
        make = [sys.executable, "-m", "venv", folder]
        done = subprocess.run(make, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(done.stdout + done.stderr or "failed")
        return by_pip([f"{folder}/bin/python", "-m", "pip"])


def by_download(version: str, hashes: set[str]) -> str:
    """Without pip and venv: the wheel from the user's own index."""
    index = os.environ.get("PIP_INDEX_URL")
    if not index:
        raise ValueError("PIP_INDEX_URL is not set")
    context = ssl.create_default_context(cafile=os.environ.get("PIP_CERT"))
    page = index.rstrip("/") + "/uv/"
    links = Links()
    with urllib.request.urlopen(page, context=context, timeout=60) as answer:
        links.feed(answer.read().decode())
    system = "macosx" if sys.platform == "darwin" else "manylinux"
    ending = re.compile(rf"/uv-{re.escape(version)}-py3-none-{system}\S*_{machine()}\.whl(#|$)")
    for link in links.found:
        if ending.search(link):
            address = urllib.parse.urljoin(page, link)
            with urllib.request.urlopen(address, context=context, timeout=600) as answer:
                return unpack(answer.read(), hashes)
    raise ValueError(f"{page} lists no uv {version} for this machine")


def machine() -> str:
    return {"arm64": "arm64" if sys.platform == "darwin" else "aarch64"}.get(
        platform.machine(), platform.machine()
    )


def unpack(wheel: bytes, hashes: set[str]) -> str:
    if hashlib.sha256(wheel).hexdigest() not in hashes:
        raise ValueError("the downloaded uv is not the one that requirements.lock names")
    target = UV / "bin" / "uv"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile() as file:
        file.write(wheel)
        with zipfile.ZipFile(file) as archive:
            name = next(
                each
                for each in archive.namelist()
                if each.endswith("/bin/uv") or each.endswith("/scripts/uv")
            )
            target.write_bytes(archive.read(name))
    target.chmod(0o755)
    return str(target)


def uv_environment() -> dict[str, str]:
    """uv reads no setting of pip's, so hand them on; its cache must be writable."""
    given = dict(os.environ)
    given |= {"UV_SYSTEM_CERTS": "1", "UV_PYTHON_DOWNLOADS": "never"}
    for pip, uv in (
        ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
        ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
        ("PIP_CERT", "SSL_CERT_FILE"),
    ):
        if given.get(pip):
            given.setdefault(uv, given[pip])
    home = pathlib.Path(given.get("XDG_CACHE_HOME") or pathlib.Path("~").expanduser())
    if "UV_CACHE_DIR" not in given and not os.access(home, os.W_OK):
        given["UV_CACHE_DIR"] = str(UV / "cache")
    for misleading in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "PYTHONPATH"):
        given.pop(misleading, None)
    return given


if __name__ == "__main__":
    main()
