"""While much is folded, Python looks for cyclic garbage less often.

Rows and events hold no cycles, and looking through those that are alive again and again was a
fifth of a build's time. What others in the process leave behind waits a little longer.
"""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SELDOM = (20_000, 20, 100)
"""New objects between two looks at the youngest, and how many of these go before an older look."""

_lock = threading.Lock()
_before: list[tuple[int, int, int]] = []
"""Thresholds as each of those who are at it now found them; the first found the usual ones."""


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """The thresholds are as before when the last of those who are at it is done."""
    with _lock:
        _before.append(gc.get_threshold())
        gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        with _lock:
            usual = _before.pop(0)
            if _before:
                _before[0] = usual
            else:
                gc.set_threshold(*usual)
