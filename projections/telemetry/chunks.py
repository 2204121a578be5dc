"""The columns of a message as one row keeps them: bytes that numpy reads as they are."""

import struct
import sys
from array import array
from collections import defaultdict
from dataclasses import replace
from typing import Final, NamedTuple, TypeAlias, cast

from domain.telemetry.messages import Batch

_HEAD: Final = struct.Struct("<BBI")
_VERSION: Final = 1
_QUALITY: Final = 1
PIECE_MS: Final = 3_600_000
"""No chunk spans more."""

AnyColumn: TypeAlias = "array[int] | array[float]"


class Columns(NamedTuple):
    """Times (Unix ms), indices of channels, values, and codes of quality where not all are good."""

    t: "array[int]"
    c: "array[int]"
    v: "array[float]"
    q: "array[int] | None"


def pieces(batch: Batch) -> list[Batch]:
    """The message, or when it spans more than an hour one for each of its hours: a look at some
    minutes must not search a week for chunks that reach into them."""
    if batch.ended - batch.begun < PIECE_MS:
        return [batch]
    hours: defaultdict[int, list[int]] = defaultdict(list)
    for index, at in enumerate(batch.t):
        hours[(at - batch.begun) // PIECE_MS].append(index)
    return [_part(batch, hours[hour]) for hour in sorted(hours)]


def _part(batch: Batch, wanted: list[int]) -> Batch:
    t = array("q", [batch.t[index] for index in wanted])
    return replace(
        batch,
        t=t,
        c=array("B", [batch.c[index] for index in wanted]),
        v=array("d", [batch.v[index] for index in wanted]),
        q=array("B", [batch.q[index] for index in wanted]) if batch.q else None,
        begun=min(t),
        ended=max(t),
    )


def encode(batch: Batch) -> bytes:
    """Little-endian: version and flags (1 byte each), number n (4), offsets from the first time
    (ms, 4 n), indices of channels (n), values (float64, 8 n), and with flag 1 qualities (n): 13
    bytes a reading.
    """
    begun = batch.begun
    offsets = array("I", [at - begun for at in batch.t])
    columns: list[AnyColumn] = [offsets, batch.c, batch.v, *([batch.q] if batch.q else [])]
    head = _HEAD.pack(_VERSION, _QUALITY if batch.q else 0, len(batch.t))
    return head + b"".join([_little(column) for column in columns])


def decode(stored: bytes, *, begun: int) -> Columns:
    """Read what `encode` wrote. Raises `ValueError` for anything else."""
    if len(stored) < _HEAD.size:
        raise ValueError("a chunk is too short")
    version, flags, count = _HEAD.unpack_from(stored)
    if version != _VERSION:
        raise ValueError(f"a chunk of version {version}")
    place = _HEAD.size
    columns: list[AnyColumn] = []
    for code in "IBdB" if flags & _QUALITY else "IBd":
        column: AnyColumn = array(code)
        size = count * column.itemsize
        column.frombytes(stored[place : place + size])
        if len(column) != count:
            raise ValueError("a chunk is too short")
        columns.append(_swapped(column))
        place += size
    offsets, codes, values, *quality = columns
    return Columns(
        t=array("q", [begun + int(offset) for offset in offsets]),
        c=cast("array[int]", codes),
        v=cast("array[float]", values),
        q=cast("array[int]", quality[0]) if quality else None,
    )


def _little(column: AnyColumn) -> bytes:
    return _swapped(column).tobytes()


def _swapped(column: AnyColumn) -> AnyColumn:
    if sys.byteorder == "little":
        return column
    turned = array(column.typecode, column)
    turned.byteswap()
    return turned
