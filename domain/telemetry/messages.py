"""One columnar message of readings, checked: everything that reads telemetry reads it by this.

The columns are `array.array`: compact, and numpy reads them without a copy
(`numpy.frombuffer(batch.v)`).
"""

import math
import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from domain.telemetry.channels import Quality

MOST_READINGS: Final = 10_000
"""Bridges send up to 1,000; what is far beyond is an accident."""
MOST_CHANNELS: Final = 256
LONGEST_MS: Final = 7 * 86_400_000
"""From the first reading of a message to its last: after a long time without a hub, bridges make
one thin message of many."""
OLDEST_MS: Final = 366 * 86_400_000
AHEAD_MS: Final = 86_400_000
"""A bridge whose clock runs further ahead would put its readings out of everybody's sight."""
LARGEST: Final = 2**53 - 1
MOST: Final = 1e100
"""No machine measures more, and years of readings can be added up."""

QUALITIES: Final = tuple(Quality)
"""Their places are the codes of column `q`: 0 GOOD, 1 STALE, 2 BAD."""
_BAD: Final = QUALITIES.index(Quality.BAD)
_CHANNEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,79}")
_BUILD: Final = re.compile(r"[A-Za-z0-9_-]{0,80}")


class Fault(StrEnum):
    """Why a message is none."""

    NOT_JSON = "NOT_JSON"
    WRONG_SHAPE = "WRONG_SHAPE"
    WRONG_NODE = "WRONG_NODE"
    TOO_MANY = "TOO_MANY"
    BAD_CHANNEL = "BAD_CHANNEL"
    OUT_OF_TIME = "OUT_OF_TIME"


class MalformedBatchError(ValueError):
    """What came is no message of readings."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Reading i: channel `channels[c[i]]`, value `v[i]` at `t[i]` (Unix ms, the bridge's clock).

    `(node_id, epoch, seq)` names it: `epoch` counts the starts of the bridge, `seq` its messages of
    this machine from 1. `gap` readings were lost before it. `q` holds codes of `QUALITIES`; `None`
    means that all are good. `received` (Unix ms) is the stream's clock. `build_id` is empty for a
    machine at rest. `begun` and `ended` are the first and the last time of `t`; without readings,
    when the message came.
    """

    node_id: str
    build_id: str
    epoch: int
    seq: int
    channels: tuple[str, ...]
    t: "array[int]"
    c: "array[int]"
    v: "array[float]"
    q: "array[int] | None"
    gap: int
    received: int
    begun: int
    ended: int

    def quality(self, index: int) -> Quality:
        """What reading `index` is worth."""
        return QUALITIES[self.q[index]] if self.q else Quality.GOOD

    def values(self) -> list[float | None]:
        """The values, with `None` for those that are BAD."""
        if self.q is None:
            return list(self.v)
        return [
            None if worth == _BAD else value for value, worth in zip(self.v, self.q, strict=True)
        ]

    def readings_of(self, channel: str) -> list[tuple[int, float]]:
        """The good readings of one channel as (Unix ms, value), as they came."""
        if channel not in self.channels:
            return []
        wanted = self.channels.index(channel)
        quality = self.q or bytes(len(self.t))
        return [
            (at, value)
            for at, code, value, worth in zip(self.t, self.c, self.v, quality, strict=True)
            if code == wanted and not worth
        ]


def read_batch(told: object, *, node_id: str, received: int) -> Batch:
    """Check a decoded message that came on the subject of `node_id`.

    Raises `MalformedBatchError`. A value that is no number (`null`, infinite, beyond 1e100) is kept
    as BAD.
    """
    if not isinstance(told, Mapping):
        raise MalformedBatchError(Fault.WRONG_SHAPE, "no object")
    if told.get("node_id") != node_id:
        raise MalformedBatchError(Fault.WRONG_NODE, "it names another machine than its subject")
    build_id = told.get("build_id") or ""
    if not isinstance(build_id, str) or not _BUILD.fullmatch(build_id):
        raise MalformedBatchError(Fault.WRONG_SHAPE, "build_id is no id")
    channels = _channels(told.get("channels"))
    t, c, v, q = _columns(told)
    if c and max(c) >= len(channels):
        raise MalformedBatchError(Fault.WRONG_SHAPE, "c names a channel that is not there")
    begun, ended = min(t, default=received), max(t, default=received)
    _in_time(begun, ended, received)
    return Batch(
        node_id=node_id,
        build_id=build_id,
        epoch=_count(told, "epoch"),
        seq=_count(told, "seq"),
        channels=channels,
        t=t,
        c=c,
        v=v,
        q=q,
        gap=_count(told, "gap", default=0),
        received=received,
        begun=begun,
        ended=ended,
    )


def _channels(told: object) -> tuple[str, ...]:
    if not isinstance(told, list) or len(told) > MOST_CHANNELS:
        raise MalformedBatchError(Fault.BAD_CHANNEL, f"no list of up to {MOST_CHANNELS} names")
    for name in told:
        if not (isinstance(name, str) and _CHANNEL.fullmatch(name)):
            raise MalformedBatchError(Fault.BAD_CHANNEL, f"{str(name)[:40]!r} is no channel")
    if len(set(told)) != len(told):
        raise MalformedBatchError(Fault.BAD_CHANNEL, "a channel is named twice")
    return tuple(told)


Columns = tuple["array[int]", "array[int]", "array[float]", "array[int] | None"]


def _columns(told: Mapping[str, Any]) -> Columns:
    columns = [told.get(name) for name in ("t", "c", "v")]
    if not all(isinstance(each, list) for each in columns):
        raise MalformedBatchError(Fault.WRONG_SHAPE, "t, c and v are lists")
    t, c, v = (each for each in columns if isinstance(each, list))
    q = told.get("q")
    lengths = {len(t), len(c), len(v), len(q) if isinstance(q, list) else len(t)}
    if len(lengths) != 1:
        raise MalformedBatchError(Fault.WRONG_SHAPE, "the columns have different lengths")
    if len(t) > MOST_READINGS:
        raise MalformedBatchError(Fault.TOO_MANY, f"more than {MOST_READINGS} readings")
    try:
        codes = array("B", q) if isinstance(q, list) else None
        if codes and max(codes) >= len(QUALITIES):
            raise ValueError("q holds 0, 1 and 2")
        values, codes = _values(v, codes)
        return array("q", t), array("B", c), values, codes
    except (TypeError, ValueError, OverflowError) as error:
        raise MalformedBatchError(Fault.WRONG_SHAPE, str(error)) from error


def _values(
    told: Sequence[Any], codes: "array[int] | None"
) -> tuple["array[float]", "array[int] | None"]:
    if None in told:
        told = [math.nan if value is None else value for value in told]
    values = array("d", told)
    if not values or (math.isfinite(sum(values)) and min(values) > -MOST and max(values) < MOST):
        return values, codes
    codes = array("B", codes or bytes(len(values)))
    for index, value in enumerate(values):
        if not -MOST < value < MOST:  # nor is NaN
            codes[index] = _BAD
    return values, codes


def _in_time(first: int, last: int, received: int) -> None:
    if first < received - OLDEST_MS or last > received + AHEAD_MS:
        raise MalformedBatchError(
            Fault.OUT_OF_TIME, f"a reading of {first} to {last} came at {received} (Unix ms)"
        )
    if last - first > LONGEST_MS:
        raise MalformedBatchError(Fault.OUT_OF_TIME, "its readings span more than a week")


def _count(told: Mapping[str, Any], name: str, *, default: int | None = None) -> int:
    value = told.get(name, default)
    if type(value) is not int or not 0 <= value <= LARGEST:
        raise MalformedBatchError(Fault.WRONG_SHAPE, f"{name} is no count")
    return value
