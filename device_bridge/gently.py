"""Long work in a thread beside the event loop, so that an emergency stop never waits for it.

Python runs one thread at a time and lets a busy one keep its turn for 5 ms. An answer takes many
turns, so a thread that only counts would make a stop hundreds of times slower.
"""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
PAUSE_S = 0.0002
"""Any sleep gives the turn away; whoever waits for it takes it at once."""


def gently(items: Iterable[Item], *, every: int) -> Iterator[Item]:
    """The same items, with a short rest after each so many: about half a millisecond of work."""
    for number, item in enumerate(items):
        if number % every == 0:
            time.sleep(PAUSE_S)
        yield item
