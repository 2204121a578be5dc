"""Reads the log up to what a recorded choice of a machine saw, and makes the choice again."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

import orjson

from commands.dispatches.messages import ChooseNode
from commands.processes.reexecuting import choices_again
from commands.processes.runner import Processes
from domain.dispatch.aggregate import Dispatch
from domain.shared.errors import InvalidInputError, NotFoundError
from domain.shared.recorded import RecordedEvent
from ml.scheduling.assignment import POLICY, POLICY_VERSION
from ops.eventstore.reader import PoisonEventError
from projections.history.differences import Change, changes

BATCH: Final = 1000
BEHIND: Final = 1000
"""Events looked at behind the choice, for earlier ones that were recorded later."""
Progress = Callable[[int], None]


class Source(Protocol):
    """The log; ``LogReader`` is one."""

    def read(self, after: int, limit: int = 1000) -> list[RecordedEvent]:
        """Up to ``limit`` events behind a position. Raises ``PoisonEventError``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reexecution:
    """``differences`` lead from what was recorded to what is chosen now; none: the same."""

    position: int
    fleet_position: int
    policy: str
    policy_version: int
    node_id: str
    node_id_again: str
    differences: list[Change]

    @property
    def same(self) -> bool:
        """Whether the same node is chosen on the same grounds."""
        return not self.differences

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"same": self.same, "told": self.told(), **asdict(self)}

    def told(self) -> str:
        """In plain words."""
        if self.same:
            return "Made again on the fleet as it was: the same answer, term by term."
        if not self.node_id_again:
            return "Made again on the fleet as it was: differs, no machine is chosen."
        paths = ", ".join(change.path for change in self.differences[:5])
        more = f" and {len(self.differences) - 5} more" if len(self.differences) > 5 else ""
        return f"Made again on the fleet as it was: differs at {paths}{more}."


def reexecute(source: Source, position: int, *, progress: Progress = lambda _: None) -> Reexecution:
    """Make the choice recorded at ``position`` again. ``progress`` hears positions folded.

    Raises ``NotFoundError`` for a position without an event, ``PoisonEventError`` for one that
    cannot be read, ``InvalidInputError`` for one that is no choice, or one made by a policy that
    this version of Imewe does not have.
    """
    found = source.read(position - 1, 1)
    if not found:
        raise NotFoundError(f"the log holds no event at position {position}")
    recorded, event = found[0], found[0].event
    if not isinstance(event, Dispatch.NodeChosen):
        raise InvalidInputError(
            f"{recorded.topic} at position {position} is no choice of a machine",
            field="id",
            remedy="choices are events imewe.dispatch:NodeChosen",
        )
    _demand_policy(event.decision)
    seen = int(event.decision["fleet_position"])
    processes = Processes()
    for each in _events(source, 0, upto=seen - 1):
        processes.remember(each)
        progress(each.position)
    occasion, *later = _events(source, seen - 1, upto=position + BEHIND)
    before = _grounds(event)
    again = [
        _grounds(choice)
        for choice in choices_again(
            processes, occasion, later, dispatch_id=str(recorded.aggregate_id)
        )
    ]
    after = before if before in again else next(iter(again), {"node_id": ""})
    return Reexecution(
        position=position,
        fleet_position=seen,
        policy=POLICY,
        policy_version=POLICY_VERSION,
        node_id=event.node_id,
        node_id_again=after["node_id"],
        differences=changes(before, after),
    )


def _grounds(choice: Dispatch.NodeChosen | ChooseNode) -> dict[str, Any]:
    """What was chosen, and on what grounds."""
    return {
        "node_id": choice.node_id,
        "inventory_id": choice.inventory_id,
        **orjson.loads(orjson.dumps(choice.decision)),
    }


def _demand_policy(decision: dict[str, Any]) -> None:
    made_by = (decision.get("policy"), decision.get("policy_version"))
    if made_by != (POLICY, POLICY_VERSION):
        raise InvalidInputError(
            f"the choice was made by {made_by[0]} {made_by[1]};"
            f" this version of Imewe has {POLICY} {POLICY_VERSION}",
            field="id",
            remedy="make it again with the version that made it",
        )


def _events(source: Source, after: int, *, upto: int) -> Iterator[RecordedEvent]:
    """Events in ``(after, upto]`` as the processes see them: one that cannot be read takes the
    later ones of its aggregate with it."""
    position, parked = after, set[str]()
    while position < upto:
        try:
            found = source.read(position, min(BATCH, upto - position))
        except PoisonEventError as poison:
            parked.add(poison.aggregate_id)
            position = poison.position
            continue
        if not found:
            return
        yield from (each for each in found if str(each.aggregate_id) not in parked)
        position = found[-1].position
