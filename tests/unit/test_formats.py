"""What a file is, by its bytes."""

import struct

import pytest

from domain.part.formats import ContentCheck, sniff
from domain.shared.errors import InvalidInputError

TEXT_STL = b"solid part\n facet normal 0 0 1\n  outer loop\n endloop\n endfacet\nendsolid part\n"
OBJ = b"# made by hand\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
GCODE = b"; a comment first\nG28\nG1 X10 Y10 F600\n"
BINARY_STL = b"solid is a lie".ljust(80) + struct.pack("<I", 2) + bytes(100)


@pytest.mark.parametrize(
    ("body", "name", "format"),
    [
        (TEXT_STL, "a.stl", "stl"),
        (BINARY_STL, "a.STL", "stl"),
        (OBJ, "a.obj", "obj"),
        (GCODE, "a.gcode", "gcode"),
        (b"%\nN10 G21\n", "plate.nc", "gcode"),
        (OBJ, "no-suffix", "obj"),
        (GCODE, "wrong.stl", "gcode"),
    ],
)
def test_the_bytes_decide(body: bytes, name: str, format: str) -> None:
    assert sniff(body, name) == format
    check = ContentCheck(name)
    for byte in range(0, len(body), 7):
        check.feed(body[byte : byte + 7])
    assert check.finish() == format


@pytest.mark.parametrize(
    ("body", "name", "why"),
    [
        (b"", "a.stl", "is empty"),
        (bytes(40), "a.stl", "at least 84 bytes"),
        (BINARY_STL[:-1], "a.stl", "2 triangles need 184 bytes, it has 183"),
        (BINARY_STL + b"\0", "a.stl", "it has 185"),
        (bytes(84), "a.stl", "holds no triangle"),
        (TEXT_STL[:60], "a.stl", "not endsolid"),
        (BINARY_STL, "a.gcode", "holds binary data"),
        (b"PK\x03\x04....", "a.3mf", "is a 3MF or ZIP file"),
        (b"ISO-10303-21;", "a.stl", "is a STEP file"),
        (b"Dear printer,\nplease.\n", "a.gcode", "none of the accepted"),
    ],
)
def test_what_is_none_of_ours_is_refused_and_told_what_is(body: bytes, name: str, why: str) -> None:
    check = ContentCheck(name)
    with pytest.raises(InvalidInputError, match=why) as refused:
        check.feed(body)
        check.finish()
    assert "STL (binary or text), OBJ and G-code" in refused.value.remedy
    assert refused.value.field == "file"


def test_a_large_wrong_file_is_refused_at_its_beginning() -> None:
    check = ContentCheck("a.stl")
    with pytest.raises(InvalidInputError):
        check.feed(b"lorem ipsum " * 10_000)
