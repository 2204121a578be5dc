"""Makes a recorded choice of a machine again, on the fleet as it was. Pure; nothing is sent.

The log says everything that the choice went by but one thing: which nodes earlier choices had given
away whose own events came later. Those choices are in the log all the same, behind the position
that this one saw. A runner that had just taken over knew nothing of them, and looked at every piece
that waited. So there are a few things that a right choice may have gone by, and no others. (A
choice that was refused is in no log: where one was under way, none of them may fit.)
"""

from collections.abc import Iterable, Iterator
from copy import deepcopy

from commands.dispatches.messages import ChooseNode
from commands.fleet.fleet import Fleet
from commands.processes.outputs import Output, Send
from commands.processes.runner import Processes
from domain.dispatch.aggregate import Dispatch
from domain.shared.recorded import RecordedEvent


def choices_again(
    processes: Processes,
    occasion: RecordedEvent,
    later: Iterable[RecordedEvent],
    *,
    dispatch_id: str,
) -> Iterator[ChooseNode]:
    """What is chosen for a dispatch when ``occasion`` happens: by a runner that goes on, by one
    that has just taken over, and by one that has taken over not long before.

    ``processes`` have folded everything before ``occasion``; ``later`` are events behind it, at
    least up to the recorded choice.
    """
    going_on, taking_over, young = processes, deepcopy(processes), deepcopy(processes)
    for recorded in later:
        _count_as_given_away(going_on.fleet, recorded, before=occasion.position)
    yield from _choices(going_on.step(occasion), dispatch_id)
    taking_over.remember(occasion)
    yield from _choices(taking_over.take_over(), dispatch_id)
    yield from _choices(young.step(occasion), dispatch_id)


def _count_as_given_away(fleet: Fleet, recorded: RecordedEvent, *, before: int) -> None:
    event, dispatch_id = recorded.event, str(recorded.aggregate_id)
    if not isinstance(event, Dispatch.NodeChosen) or dispatch_id not in fleet.waiting:
        return
    if event.decision["fleet_position"] < before:
        fleet.claim(event.node_id, dispatch_id)


def _choices(outputs: Iterable[Output], dispatch_id: str) -> Iterator[ChooseNode]:
    for output in outputs:
        command = output.command if isinstance(output, Send) else None
        if isinstance(command, ChooseNode) and command.dispatch_id == dispatch_id:
            yield command
