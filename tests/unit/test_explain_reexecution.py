"""A recorded choice, made again on the fleet as it was, comes out the same or says where not."""

from typing import Any

import pytest

from domain.dispatch.aggregate import Dispatch
from domain.shared.errors import InvalidInputError, NotFoundError
from domain.shared.recorded import RecordedEvent
from ops.processing.reexecuting import reexecute
from tests.explaining import played
from tests.stories import MemoryLog


def choices(events: list[RecordedEvent]) -> list[RecordedEvent]:
    return [event for event in events if isinstance(event.event, Dispatch.NodeChosen)]


@pytest.mark.parametrize("troubles", [False, True])
def test_every_choice_comes_out_the_same_again(troubles: bool) -> None:
    looked_at = 0
    for seed in range(6):
        events = played(seed, troubles=troubles)
        for chosen in choices(events):
            again = reexecute(MemoryLog(events), chosen.position)
            assert again.same, (seed, chosen.position, again.differences)
            assert again.node_id_again == chosen.event.node_id
            looked_at += 1
    assert looked_at > 20


def forged(events: list[RecordedEvent], chosen: RecordedEvent, **changed: Any) -> MemoryLog:
    """The log with another decision in that event."""
    event = chosen.event
    decision = {**event.decision, **changed}
    other = object.__new__(type(event))
    object.__setattr__(other, "__dict__", {**vars(event), "decision": decision})
    return MemoryLog(
        [e._replace(event=other) if e.position == chosen.position else e for e in events]
    )


def test_a_term_that_was_recorded_wrongly_is_named() -> None:
    events = played(2, troubles=False)
    chosen = choices(events)[-1]
    best, *others = chosen.event.decision["candidates"]
    wrong = [{**best, "idleness": best["idleness"] / 2 + 0.1}, *others]
    again = reexecute(forged(events, chosen, candidates=wrong), chosen.position)
    assert not again.same
    assert [change.path for change in again.differences] == ["/candidates/0/idleness"]
    assert "differs at /candidates/0/idleness" in again.told()


def test_what_is_no_choice_or_of_another_policy_is_refused() -> None:
    events = played(2, troubles=False)
    chosen = choices(events)[0]
    log = MemoryLog(events)
    with pytest.raises(InvalidInputError, match="is no choice"):
        reexecute(log, 1)
    with pytest.raises(NotFoundError):
        reexecute(log, len(events) + 1)
    with pytest.raises(InvalidInputError, match="weighted-score 7"):
        reexecute(forged(events, chosen, policy_version=7), chosen.position)


def test_it_is_told_how_far_it_is_and_nothing_is_read_twice_before_the_choice() -> None:
    events = played(1, troubles=False)
    chosen = choices(events)[-1]
    heard: list[int] = []
    reexecute(MemoryLog(events), chosen.position, progress=heard.append)
    assert heard == list(range(1, chosen.event.decision["fleet_position"]))
