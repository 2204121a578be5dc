"""Which kind of file somebody sent, judged by its bytes and refused when it is none of ours."""

import re
import struct
from typing import Final

from domain.shared.errors import InvalidInputError

HEAD_BYTES: Final = 64 * 1024
TAIL_BYTES: Final = 1024
STL_HEADER_BYTES: Final = 84
STL_TRIANGLE_BYTES: Final = 50
ACCEPTED: Final = "STL (binary or text), OBJ and G-code files are accepted."
MESHES: Final = frozenset({"stl", "obj"})

_SUFFIXES: Final = {
    "stl": "stl",
    "obj": "obj",
    **dict.fromkeys(("gcode", "gco", "g", "nc", "ngc", "tap", "cnc"), "gcode"),
}
_OBJ_VERTEX: Final = re.compile(rb"^[ \t]*v[ \t]+[-+.\d]", re.MULTILINE)
_GCODE_WORD: Final = re.compile(
    rb"^[ \t]*(?:N\d+[ \t]*)?(?:[GMT]\d+|[XYZ][-+]?[.\d])", re.MULTILINE | re.IGNORECASE
)
_KNOWN_OTHERS: Final = {
    b"ISO-10303-21": "STEP",
    b"PK\x03\x04": "3MF or ZIP",
    b"\x89PNG": "PNG",
    b"%PDF": "PDF",
    b"\x1f\x8b": "gzip",
}


def sniff(head: bytes, name: str) -> str:
    """Say what a file is: ``stl``, ``obj`` or ``gcode``.

    ``head`` is its beginning, up to 64 KiB. Raises ``InvalidInputError`` for what is none of them.
    """
    if not head:
        raise InvalidInputError(f"{name} is empty.", field="file", remedy=ACCEPTED)
    for magic, what in _KNOWN_OTHERS.items():
        if head.startswith(magic):
            raise _refused(name, f"is a {what} file")
    expected = _SUFFIXES.get(name.rpartition(".")[2].lower())
    if b"\0" in head:
        if expected == "stl" and len(head) >= STL_HEADER_BYTES:
            return "stl"
        if expected == "stl":
            raise _refused(name, "is cut off: a binary STL has at least 84 bytes")
        raise _refused(name, "holds binary data")
    return _sniff_text(head, name, expected)


def is_text_stl(head: bytes) -> bool:
    """Whether the beginning is that of an STL written as text."""
    return head.lstrip()[:5].lower() == b"solid" and b"facet" in head.lower()


class ContentCheck:
    """Watches a file go by and refuses it when its bytes cannot be what it claims to be.

    ``format`` is known once ``finish`` has returned. Constant memory: only the beginning and the
    end are kept.
    """

    def __init__(self, name: str, *, expected: str | None = None) -> None:
        self._name = name
        self._expected = expected
        self._head = b""
        self._tail = b""
        self._size = 0
        self.format = ""

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes; a file that is none of ours is refused at its beginning."""
        self._size += len(chunk)
        self._tail = (self._tail + chunk[-TAIL_BYTES:])[-TAIL_BYTES:]
        if not self.format:
            self._head += chunk[: HEAD_BYTES - len(self._head)]
            if len(self._head) == HEAD_BYTES:
                self._decide()

    def finish(self) -> str:
        """Judge the whole and return its format. Raises ``InvalidInputError``."""
        if not self.format:
            self._decide()
        if self.format == "stl":
            self._check_stl()
        return self.format

    def _decide(self) -> None:
        self.format = sniff(self._head, self._name)
        if self._expected not in (None, self.format):
            raise _refused(self._name, f"is {self.format.upper()}, not {self._expected}")

    def _check_stl(self) -> None:
        if is_text_stl(self._head):
            if b"endsolid" not in self._tail.lower():
                raise _refused(self._name, "is cut off: its last line is not endsolid")
            return
        if self._size < STL_HEADER_BYTES:
            raise _refused(self._name, "is cut off: a binary STL has at least 84 bytes")
        (triangles,) = struct.unpack_from("<I", self._head, STL_HEADER_BYTES - 4)
        needed = STL_HEADER_BYTES + STL_TRIANGLE_BYTES * triangles
        if triangles == 0:
            raise _refused(self._name, "holds no triangle")
        if needed != self._size:
            raise _refused(
                self._name,
                f"is damaged or no STL: {triangles} triangles need {needed} bytes, "
                f"it has {self._size}",
            )


def _sniff_text(head: bytes, name: str, expected: str | None) -> str:
    found = {
        "stl": is_text_stl(head),
        "obj": bool(_OBJ_VERTEX.search(head)),
        "gcode": bool(_GCODE_WORD.search(head)),
    }
    if expected and found[expected]:
        return expected
    for kind, fits in found.items():
        if fits:
            return kind
    raise _refused(name, "is none of the accepted formats")


def _refused(name: str, why: str) -> InvalidInputError:
    return InvalidInputError(f"{name} {why}.", field="file", remedy=ACCEPTED)
