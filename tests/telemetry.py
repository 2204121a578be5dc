"""Messages as bridges send them, for the tests of telemetry."""

from collections.abc import Sequence
from typing import Any

from domain.telemetry.messages import Batch, read_batch

NODE = "0a1b2c3d-4e5f-5a6b-8c7d-8e9f0a1b2c3d"
NOON = 1_795_262_400_000
"""2026-11-21 12:00 UTC in Unix ms."""
HOT_END = "temperature.hotend0.actual_c"

Reading = tuple[int, str, float]


def told(readings: Sequence[Reading], **more: Any) -> dict[str, Any]:
    """A message of readings (time, channel, value); ``more`` overrides its fields."""
    channels = list(dict.fromkeys(channel for _, channel, _ in readings))
    return {
        "node_id": NODE,
        "build_id": "",
        "epoch": 1,
        "seq": 1,
        "channels": channels,
        "t": [at for at, _, _ in readings],
        "c": [channels.index(channel) for _, channel, _ in readings],
        "v": [value for _, _, value in readings],
        **more,
    }


def batch(readings: Sequence[Reading], **more: Any) -> Batch:
    """The same, read."""
    message = told(readings, **more)
    return read_batch(message, node_id=message["node_id"], received=NOON)
