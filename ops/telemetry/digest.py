"""One digest over a day of readings: the same from the chunks and from the file they moved to."""

import hashlib
from array import array
from collections.abc import Sequence


class DayDigest:
    """SHA-256 over every chunk in the order of (machine, epoch, number, first time).

    A chunk is, in this order: a line `node_id build_id epoch seq n`, the channel of each reading
    (lines joined by a line feed), the times (n little-endian int64, Unix ms), the values (n
    little-endian float64) and the codes of quality (n bytes). `build_id` is empty for a machine at
    rest.
    """

    def __init__(self) -> None:
        self._sum = hashlib.sha256()
        self.chunks = 0
        self.readings = 0

    def take(
        self,
        name: tuple[str, str, int, int],
        *,
        channels: Sequence[str],
        t: "array[int]",
        v: "array[float]",
        q: bytes,
    ) -> None:
        """One chunk; `name` is (node_id, build_id, epoch, seq)."""
        node_id, build_id, epoch, seq = name
        self._sum.update(f"{node_id} {build_id} {epoch} {seq} {len(channels)}\n".encode())
        self._sum.update("\n".join(channels).encode())
        self._sum.update(t.tobytes())
        self._sum.update(v.tobytes())
        self._sum.update(q)
        self.chunks += 1
        self.readings += len(channels)

    @property
    def text(self) -> str:
        """`sha256:` and 64 hex digits."""
        return f"sha256:{self._sum.hexdigest()}"
