"""Which schemas of a projection a runner keeps up to date, and one of them with its next try."""

import time
from typing import NamedTuple

import structlog

from ops.projecting.applying import Batch, apply, parked_keys
from ops.projecting.places import (
    BUILT,
    Connection,
    Place,
    alone,
    live,
    mark,
    places,
    retire,
    settle,
    switch,
)
from ops.projecting.versions import Versions
from projections.projection import Projection

log = structlog.get_logger()

SHORTEST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0
READERS_GRACE_S = 1.0


class Task(NamedTuple):
    """A schema to keep up to date; never beyond position ``hold``, if that is set."""

    projection: Projection
    place: Place
    hold: int | None = None


def tasks(
    connection: Connection, projection: Projection, versions: Versions, *, automatic: bool
) -> list[Task]:
    """The schema in use, candidates, those kept for a rollback, and a new version's own.

    A schema of a version that this program does not know stands still. When that is the one in
    use, and switching is not automatic, candidates wait at its position, so that the two can be
    compared.
    """
    settle(connection, projection)
    known = places(connection, projection.name)
    shown = next((each for each in known if each.in_use), None)
    frozen = shown is not None and versions.find(projection.name, shown.version) is None
    hold = shown.position if shown and frozen and not automatic else None
    found = []
    for place in known:
        folds = versions.find(projection.name, place.version)
        if place.is_fed and folds is not None:
            found.append(Task(folds, place, hold))
    return found


class Follower:
    """One schema with its parked keys and its next try."""

    def __init__(self, task: Task) -> None:
        self.projection = task.projection
        self.hold = task.hold
        self.place = task.place
        self.parked: set[str] = set()
        self.settled = False
        self._pause = SHORTEST_PAUSE_S
        self._try_at = 0.0

    @property
    def due(self) -> bool:
        """Whether it may be fed now."""
        return time.monotonic() >= self._try_at

    @property
    def is_waiting(self) -> bool:
        """Whether it has come as far as it may."""
        return self.hold is not None and self.place.position >= self.hold

    def take(self, connection: Connection, task: Task) -> bool:
        """Go on where the schema stands; False when nothing was done to it past this runner."""
        self.hold = task.hold
        if self.settled and task.place.epoch == self.place.epoch:
            self.place = task.place._replace(position=self.place.position)
            return False
        self.place = task.place
        self.parked = parked_keys(connection, task.place.schema)
        self.settled = True
        return True

    def feed(self, connection: Connection, batch: Batch) -> list[str]:
        """Fold a batch and return the ids to announce."""
        if self.hold is not None:
            batch = batch.cut(self.hold)
        touched = apply(
            connection,
            self.projection,
            self.place.schema,
            batch,
            after=self.place.position,
            parked=self.parked,
            epoch=self.place.epoch,
        )
        self.place = self.place._replace(position=batch.upto)
        self._pause = SHORTEST_PAUSE_S
        return touched

    def arrive(self, connection: Connection, *, automatic: bool) -> bool:
        """At the end of the log a new version takes the place of an older one, or waits for
        somebody to switch. An older one always waits: while releases overlap, each would push the
        other aside. False when it was not switched.

        Raises ``RebuildRunningError`` while something is being done to the projection.
        """
        schema, name = self.place.schema, self.projection.name
        with alone(connection, name):
            shown = live(connection, name)
            if not automatic or (shown and shown.version > self.projection.version):
                mark(connection, schema, BUILT)
                self.place = self.place._replace(state=BUILT, unattended=False)
                return False
            old = switch(connection, self.projection, schema)
            log.info("switched", projection=name, schema=schema)
            self.settled = False
            if old:
                retire(connection, old, timeout=READERS_GRACE_S)
        return True

    def step_back(self) -> None:
        """Try again later, and look up the place before."""
        self.settled = False
        self._try_at = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
