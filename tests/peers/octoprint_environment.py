"""Makes the environment of the real OctoPrint that one test speaks to: `make octoprint`.

It is apart from .venv, because OctoPrint's libraries are others and older. Every package is pinned
with its hash, those that build netifaces (a C compiler is needed) as well.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

from ops import boot

ROOT = Path(__file__).parents[2]
PINNED = Path(__file__).with_name("octoprint.txt")
HOME = ROOT / ".venv-octoprint"
PYTHON = HOME / "bin" / "python"
STAMP = HOME / ".stamp"


def wanted() -> str:
    """What the stamp of a finished environment says: this place, this Python, these packages."""
    return f"{ROOT} {sys.version} {hashlib.sha256(PINNED.read_bytes()).hexdigest()}"


def is_made() -> bool:
    """Whether the environment is there, whole and of now."""
    return STAMP.exists() and STAMP.read_text() == wanted() and PYTHON.exists()


def main() -> None:
    """Make it, unless it is there. Ends the process with a word when that fails."""
    if is_made():
        return
    uv = [sys.executable, "-m", "uv"]
    words = ["--require-hashes", "--build-constraints", str(PINNED), str(PINNED)]
    for command in (
        ["venv", "-q", "--clear", "--no-project", "--python", sys.executable, str(HOME)],
        ["pip", "sync", "-q", "--python", str(PYTHON), *words],
    ):
        done = subprocess.run([*uv, *command], cwd=ROOT, env=boot.uv_environment(), check=False)
        if done.returncode:
            sys.exit("OctoPrint could not be installed: the test that speaks to it is skipped")
    STAMP.write_text(wanted())


if __name__ == "__main__":
    main()
