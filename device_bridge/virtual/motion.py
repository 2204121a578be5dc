"""A planner's queue of moves, timed without ticking. Wall seconds; lengths in mm."""

from collections import deque
from dataclasses import dataclass

Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Move:
    """One planned move between two wall times."""

    begin: float
    end: float
    start: Point
    stop: Point


class Planner:
    """At most ``slots`` moves, run one after the other, ``speed`` times as fast as planned."""

    def __init__(self, *, slots: int, speed: float) -> None:
        self._slots = slots
        self._speed = speed
        self._moves: deque[Move] = deque()
        self.destination: Point = (0.0, 0.0, 0.0)
        self.moving_s = 0.0

    def free(self, now: float) -> int:
        """Empty slots."""
        while self._moves and self._moves[0].end <= now:
            self._moves.popleft()
        return self._slots - len(self._moves)

    def next_free_at(self) -> float:
        """When the oldest move ends."""
        return self._moves[0].end if self._moves else 0.0

    def done_at(self) -> float:
        """When the last move ends."""
        return self._moves[-1].end if self._moves else 0.0

    def idle(self, now: float) -> bool:
        """Nothing moves."""
        return self.free(now) == self._slots

    def add(self, stop: Point, *, seconds: float, now: float) -> None:
        """Plan a move of this duration in the machine's own time."""
        begin = max(now, self.done_at())
        self._moves.append(Move(begin, begin + seconds / self._speed, self.destination, stop))
        self.destination = stop
        self.moving_s += seconds

    def position(self, now: float) -> Point:
        """Where the tool is."""
        if self.idle(now):
            return self.destination
        move = self._moves[0]
        share = min(max((now - move.begin) / (move.end - move.begin), 0.0), 1.0)
        x, y, z = (a + (b - a) * share for a, b in zip(move.start, move.stop, strict=True))
        return (x, y, z)

    def stop(self, now: float) -> None:
        """Forget the queue; the tool stays where it is."""
        where = self.position(now)
        self.moving_s -= sum(m.end - max(now, m.begin) for m in self._moves) * self._speed
        self._moves.clear()
        self.destination = where

    def shift(self, seconds: float) -> None:
        """Delay everything that is queued, as a feed hold does."""
        self._moves = deque(
            Move(m.begin + seconds, m.end + seconds, m.start, m.stop) for m in self._moves
        )
