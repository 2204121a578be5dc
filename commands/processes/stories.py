"""Keeps a job's story one story: what is sent for a job names what the job waited for.

Whatever gave the occasion, such as a machine that somebody else's work has left, belongs to another
story. A decision keeps it as ``fleet_position``: the position of the event that was its occasion.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from commands.dispatches.messages import ChooseNode
from commands.fleet.fleet import Fleet
from commands.parts.messages import MissMachine
from commands.processes.outputs import Output, Send
from domain.shared.identifiers import event_id
from domain.shared.recorded import RecordedEvent

_OF_THE_FLEET: Final = (ChooseNode, MissMachine)
"""They follow from the state of the whole fleet; what made them wanted is the waiting itself."""


def in_their_stories(
    fleet: Fleet, outputs: Iterable[Output], *, after: RecordedEvent | None = None
) -> list[Output]:
    """The same outputs, each command with its job's story and a cause inside it.

    ``after`` is the event that they follow from; an alarm or a new runner has none.
    """
    return [_told(fleet, o, after) if isinstance(o, Send) else o for o in outputs]


def _told(fleet: Fleet, send: Send, after: RecordedEvent | None) -> Send:
    story = fleet.stories.get(send.lane)
    if story is None:
        return send
    inside = after is not None and _is_inside(fleet, after, job_id=send.lane, story=story)
    keeps = inside and not isinstance(send.command, _OF_THE_FLEET)
    refusal = send.on_refusal
    return replace(
        send,
        correlation_id=story,
        causation_id=send.causation_id if keeps else _awaited(fleet, send),
        on_refusal=_told(fleet, refusal, after) if refusal else None,
    )


def _is_inside(fleet: Fleet, recorded: RecordedEvent, *, job_id: str, story: str) -> bool:
    """Whether the event is of the job's story, or about the job, as a person's verdict is."""
    if recorded.envelope.correlation_id == story:
        return True
    key = str(recorded.aggregate_id)
    if found := fleet.parts.get(key) or fleet.builds.get(key) or fleet.dispatches.get(key):
        return found.job_id == job_id
    return key == job_id


def _awaited(fleet: Fleet, send: Send) -> str:
    """The newest event of what the command is about."""
    fields = vars(send.command)
    found = (
        fleet.dispatches.get(fields.get("dispatch_id", ""))
        or fleet.builds.get(fields.get("build_id", ""))
        or fleet.parts.get(fields.get("part_id", ""))
        or fleet.jobs.get(fields.get("job_id", ""))
    )
    return event_id(found.id, found.version) if found else send.causation_id
