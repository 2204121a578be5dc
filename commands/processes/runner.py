"""All process managers as one pure step: an event in, exactly these requests out."""

from collections.abc import Callable
from datetime import datetime, timedelta

from commands.fleet.fleet import Fleet
from commands.processes import (
    cancelling,
    dispatching,
    following,
    holding,
    ordering,
    placing,
    waiting,
    watchdog,
)
from commands.processes.executing import Executing
from commands.processes.outputs import Cause, Output
from commands.processes.stories import in_their_stories
from domain.shared.recorded import RecordedEvent

Step = Callable[[Fleet, RecordedEvent], list[Output]]


class Processes:
    """The fold and the steps. No clock, no random, no I/O: whoever runs it owns those.

    The same events give the same requests. The one thing that is remembered outside the log is
    which node a decision has just claimed, until the log says so.
    """

    def __init__(self, *, accept_within: timedelta = watchdog.ACCEPT_WITHIN) -> None:
        self.fleet = Fleet()
        self._steps: tuple[Step, ...] = (
            following.step,
            ordering.step,
            dispatching.step,
            Executing(accept_within=accept_within).step,
            cancelling.step,
            holding.step,
            placing.step,
            waiting.step,
        )

    def remember(self, recorded: RecordedEvent) -> None:
        """Fold without asking for anything: what was before the stored position."""
        self.fleet.fold(recorded)

    def step(self, recorded: RecordedEvent) -> list[Output]:
        """Fold an event and say what follows from it."""
        if not self.fleet.fold(recorded):
            return []
        outputs = [output for step in self._steps for output in step(self.fleet, recorded)]
        return in_their_stories(self.fleet, outputs, after=recorded)

    def due(self, timer_id: str, *, now: datetime) -> list[Output]:
        """An alarm went off."""
        return in_their_stories(self.fleet, watchdog.due(self.fleet, timer_id, now=now))

    def take_over(self) -> list[Output]:
        """What a runner asks for that has just caught up: waiting pieces are tried once."""
        cause = Cause(
            id=f"taken over at {self.fleet.position}", organisation_id="", correlation_id=""
        )
        return in_their_stories(self.fleet, placing.sweep(self.fleet, cause))
