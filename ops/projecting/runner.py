"""Feeds the projections of one process: reads and decodes the log once for all that stand alike.

A projection that fails waits and tries again; the others go on. Each one's stored position
decides what it folds next, so a lost connection, a restart of PostgreSQL or a kill at any moment
repeats a batch whole or not at all.
"""

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import psycopg
import structlog

from domain.shared.errors import RebuildRunningError, UnavailableError
from ops.projecting.applying import Batch
from ops.projecting.errors import FencedError
from ops.projecting.following import LONGEST_PAUSE_S, SHORTEST_PAUSE_S, Follower, Task, tasks
from ops.projecting.places import Connection
from ops.projecting.source import EventSource, next_batch
from ops.projecting.versions import Versions
from projections.projection import Projection

log = structlog.get_logger()

IDLE_S = 1.0
LOOK_S = 1.0
"""Candidates, switches and drops by others are seen so often; who makes one here says so."""
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


class Runner:
    """Runs until ``stop``. ``announce`` is called after each commit that changed something.

    ``connect`` gives an autocommit connection and raises psycopg's ``OperationalError`` while
    the server is away. ``earlier`` are older versions that it can fold too. ``automatic``: a new
    version takes the place of the old one by itself, and ``switched`` hears of it.
    """

    def __init__(
        self,
        source: EventSource,
        projections: Sequence[Projection],
        *,
        connect: Callable[[], Connection],
        announce: Callable[[Announcement], None],
        earlier: Sequence[Projection] = (),
        automatic: bool = True,
        switched: Callable[[str, str], None] = lambda _name, _schema: None,
    ) -> None:
        self._source = source
        self._connect = connect
        self._announce = announce
        self._versions = Versions(projections, earlier)
        self._automatic = automatic
        self._switched = switched
        self._followers: dict[str, Follower] = {}
        self._look_at = 0.0
        self._connection: Connection | None = None
        self._stopping = threading.Event()
        self._pause = SHORTEST_PAUSE_S

    def stop(self) -> None:
        """Let ``run`` return after the batch at hand; within ``IDLE_S`` when it waits."""
        self._stopping.set()

    def look(self) -> None:
        """Something was done past this runner: look before the next batch."""
        self._look_at = 0.0

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
        if any(not each.due for each in self._followers.values()):
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
        """One batch for every position at which a schema stands; False when all are done."""
        connection = self._connected()
        self._look(connection)
        standing: dict[int, list[Follower]] = {}
        for each in self._followers.values():
            if each.due and each.settled:
                standing.setdefault(each.place.position, []).append(each)
        worked = False
        for position, followers in sorted(standing.items(), reverse=True):
            worked |= self._feed(connection, position, followers)
        return worked

    def _look(self, connection: Connection) -> None:
        """Once a second, and at once when something was done past this runner."""
        now = time.monotonic()
        unsettled = any(each.due and not each.settled for each in self._followers.values())
        if now < self._look_at and not unsettled:
            return
        self._look_at = now + LOOK_S
        kept: dict[str, Follower] = {}
        for projection in self._versions.current:
            kept |= self._followed(connection, projection)
        self._followers = kept

    def _followed(self, connection: Connection, projection: Projection) -> dict[str, Follower]:
        """The followers of one projection, those that are there already among them."""
        before = {
            schema: each
            for schema, each in self._followers.items()
            if each.projection.name == projection.name
        }
        found: dict[str, Follower] = {}

        def look() -> None:
            for task in tasks(connection, projection, self._versions, automatic=self._automatic):
                follower = before.get(task.place.schema) or Follower(task)
                self._take(follower, connection, task)
                found[task.place.schema] = follower

        return found if self._guarded(projection.name, look) else before

    def _take(self, follower: Follower, connection: Connection, task: Task) -> None:
        if follower.due and follower.take(connection, task):
            self._say(follower, [])

    def _feed(self, connection: Connection, position: int, followers: list[Follower]) -> bool:
        hungry = [each for each in followers if not each.is_waiting]
        batch = next_batch(self._source, position) if hungry else None
        for each in hungry if batch else followers:
            if batch is not None:
                self._work(each, partial(self._fold, each, connection, batch))
            elif each.place.is_arriving:
                self._work(each, partial(self._arrive, each, connection))
        return batch is not None

    def _arrive(self, follower: Follower, connection: Connection) -> None:
        try:
            switched = follower.arrive(connection, automatic=self._automatic)
        except RebuildRunningError:
            return  # the log's end is looked at again
        if switched:
            self._switched(follower.projection.name, follower.place.schema)
        self.look()

    def _fold(self, follower: Follower, connection: Connection, batch: Batch) -> None:
        touched = follower.feed(connection, batch)
        if touched:
            self._say(follower, touched)

    def _say(self, follower: Follower, keys: list[str]) -> None:
        place = follower.place
        if place.in_use:
            self._announce(Announcement(follower.projection.name, place.position, keys))

    def _work(self, follower: Follower, work: Callable[[], None]) -> None:
        if not self._guarded(follower.projection.name, work):
            follower.step_back()

    def _guarded(self, name: str, work: Callable[[], None]) -> bool:
        """One projection's trouble is not the others'; a lost server is everybody's."""
        try:
            work()
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except FencedError as error:
            log.warning("fenced", projection=name, problem=error.message)
            return False
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            problem = f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})"
            log.error("projection waits", projection=name, problem=problem)
            return False
        return True

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
            self._followers.clear()
            self.look()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
