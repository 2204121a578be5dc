"""Looks for texts and keys in every file of an installation, byte by byte."""

import base64
import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

CHUNK = 1 << 22


def disguises(needle: bytes) -> list[bytes]:
    """The needle as it is, in hex, in base64 at each of three places, and as JSON may escape it."""
    inside = [base64.b64encode(bytes(shift) + needle)[4:-4] for shift in range(3)]
    forms = [needle, needle.hex().encode(), *inside]
    with contextlib.suppress(UnicodeDecodeError):
        forms.append(json.dumps(needle.decode())[1:-1].encode())
    return list(dict.fromkeys(forms))


def files_with(folder: Path, needles: Iterable[bytes]) -> dict[bytes, list[Path]]:
    """Which files hold which needle, in any disguise; needles that are nowhere are left out."""
    wanted = [(needle, disguises(needle)) for needle in needles]
    longest = max(len(each) for _, forms in wanted for each in forms)
    found: dict[bytes, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        for needle in _in(path, wanted, longest):
            found.setdefault(needle, []).append(path.relative_to(folder))
    return found


def _in(path: Path, wanted: list[tuple[bytes, list[bytes]]], longest: int) -> set[bytes]:
    found: set[bytes] = set()
    rest = b""
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                window = rest + chunk
                found |= {needle for needle, forms in wanted if any(f in window for f in forms)}
                rest = window[-longest:]
    except FileNotFoundError:
        pass  # a server renamed it meanwhile
    return found
