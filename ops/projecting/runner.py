"""Feeds the projections of one process: reads and decodes the log once for all that stand alike.

A projection that fails waits and tries again; the others go on. Each one's stored position
decides what it folds next, so a lost connection, a restart of PostgreSQL or a kill at any moment
repeats a batch whole or not at all.
"""

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import NamedTuple

import psycopg
import structlog

from domain.shared.errors import UnavailableError
from ops.projecting.applying import Batch, apply, parked_keys
from ops.projecting.errors import FencedError
from ops.projecting.places import Connection, Place, retire, settle, switch
from ops.projecting.source import EventSource, next_batch
from projections.projection import Projection

log = structlog.get_logger()

IDLE_S = 1.0
SHORTEST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0
READERS_GRACE_S = 1.0
GATHER_S = 0.025
"""Rounds begin at least so far apart: the first event after a rest is folded at once, and under
load events share transactions."""


class Announcement(NamedTuple):
    """A projection has come to ``position``; ``keys`` are the ids of what became different.

    No keys: somebody has to look for himself, because the runner began, lost its connection, or
    a new version took the place of the old one.
    """

    projection: str
    position: int
    keys: list[str]


class Follower:
    """One projection with its place, its parked keys and its next try."""

    def __init__(self, projection: Projection) -> None:
        self.projection = projection
        self.place = Place("", 0, in_use=False)
        self.parked: set[str] = set()
        self.settled = False
        self._pause = SHORTEST_PAUSE_S
        self._try_at = 0.0

    @property
    def due(self) -> bool:
        """Whether it may be fed now."""
        return time.monotonic() >= self._try_at

    def settle(self, connection: Connection) -> None:
        """Look up where to go on."""
        self.place = settle(connection, self.projection)
        self.parked = parked_keys(connection, self.place.schema)
        self.settled = True

    def feed(self, connection: Connection, batch: Batch) -> list[str]:
        """Fold a batch and return the ids to announce."""
        touched = apply(
            connection,
            self.projection,
            self.place.schema,
            batch,
            after=self.place.position,
            parked=self.parked,
        )
        self.place = self.place._replace(position=batch.upto)
        self._pause = SHORTEST_PAUSE_S
        return touched

    def arrive(self, connection: Connection) -> None:
        """At the end of the log a new version takes the place of the old one."""
        old = switch(connection, self.projection, self.place.schema)
        self.place = self.place._replace(in_use=True)
        log.info("switched", projection=self.projection.name, schema=self.place.schema)
        if old:
            retire(connection, old, timeout=READERS_GRACE_S)

    def step_back(self) -> None:
        """Try again later, and look up the place before."""
        self.settled = False
        self._try_at = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE_S)


class Runner:
    """Runs until ``stop``. ``announce`` is called after each commit that changed something.

    ``connect`` gives an autocommit connection and raises psycopg's ``OperationalError`` while
    the server is away.
    """

    def __init__(
        self,
        source: EventSource,
        projections: Sequence[Projection],
        *,
        connect: Callable[[], Connection],
        announce: Callable[[Announcement], None],
    ) -> None:
        self._source = source
        self._connect = connect
        self._announce = announce
        self._followers = [Follower(each) for each in projections]
        self._connection: Connection | None = None
        self._stopping = threading.Event()
        self._pause = SHORTEST_PAUSE_S

    def stop(self) -> None:
        """Let ``run`` return after the batch at hand; within ``IDLE_S`` when it waits."""
        self._stopping.set()

    def run(self) -> None:
        """Follow the log for ever."""
        try:
            while not self._stopping.is_set():
                begun = time.monotonic()
                if self._try_round():
                    self._stopping.wait(max(0.0, begun + GATHER_S - time.monotonic()))
                else:
                    self._rest()
        finally:
            self._disconnect()

    def _rest(self) -> None:
        waiting = [each for each in self._followers if not each.due]
        if waiting:
            self._stopping.wait(SHORTEST_PAUSE_S)
            return
        try:
            self._source.wait(IDLE_S)
        except UnavailableError:
            self._stopping.wait(IDLE_S)

    def _try_round(self) -> bool:
        try:
            worked = self._round()
        except (psycopg.OperationalError, psycopg.InterfaceError, UnavailableError) as error:
            log.warning("projections wait", problem=str(error).strip())
            self._disconnect()
            self._stopping.wait(self._pause)
            self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
            return True
        self._pause = SHORTEST_PAUSE_S
        return worked

    def _round(self) -> bool:
        """One batch for every position at which a projection stands; False when all are done."""
        connection = self._connected()
        for each in self._followers:
            if each.due and not each.settled:
                self._guarded(each, self._settle, connection)
        standing: dict[int, list[Follower]] = {}
        for each in self._followers:
            if each.due and each.settled:
                standing.setdefault(each.place.position, []).append(each)
        worked = False
        for position, followers in sorted(standing.items(), reverse=True):
            worked |= self._feed(connection, position, followers)
        return worked

    def _feed(self, connection: Connection, position: int, followers: list[Follower]) -> bool:
        batch = next_batch(self._source, position)
        for each in followers:
            if batch is not None:
                self._guarded(each, self._fold, connection, batch)
            elif not each.place.in_use:
                self._guarded(each, self._arrive, connection)
        return batch is not None

    def _settle(self, follower: Follower, connection: Connection) -> None:
        follower.settle(connection)
        self._say(follower, [])

    def _arrive(self, follower: Follower, connection: Connection) -> None:
        follower.arrive(connection)
        self._say(follower, [])

    def _fold(self, follower: Follower, connection: Connection, batch: Batch) -> None:
        touched = follower.feed(connection, batch)
        if touched:
            self._say(follower, touched)

    def _say(self, follower: Follower, keys: list[str]) -> None:
        place = follower.place
        if place.in_use:
            self._announce(Announcement(follower.projection.name, place.position, keys))

    def _guarded(self, follower: Follower, work: Callable[..., None], *given: object) -> None:
        """One projection's trouble is not the others'; a lost server is everybody's."""
        name = follower.projection.name
        try:
            work(follower, *given)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except FencedError as error:
            log.warning("fenced", projection=name, problem=error.message)
            follower.step_back()
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            problem = f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})"
            log.error("projection waits", projection=name, problem=problem)
            follower.step_back()

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
            for each in self._followers:
                each.settled = False
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
