"""Whatever happens in the shop, every event of a job can be followed back to who wanted it."""

import pytest

from domain.build.aggregate import Build
from domain.dispatch.aggregate import Dispatch
from domain.shared.recorded import RecordedEvent
from tests.explaining import played
from tests.simulation.shop import BRIDGE, PERSON

SEEDS = 12


def root_of(event: RecordedEvent, known: dict[str, RecordedEvent]) -> RecordedEvent:
    """The event whose cause is a command of its own; every other cause must be an event."""
    seen: set[str] = set()
    while event.envelope.causation_id != event.envelope.command_id:
        assert event.event_id not in seen, "a circle"
        seen.add(event.event_id)
        assert event.envelope.causation_id in known, (event.topic, event.envelope)
        cause = known[event.envelope.causation_id]
        assert cause.position < event.position
        event = cause
    return event


def by_job(events: list[RecordedEvent]) -> dict[str, list[RecordedEvent]]:
    """The events of each job, its parts, dispatches and builds."""
    job_of: dict[str, str] = {}
    found: dict[str, list[RecordedEvent]] = {}
    for event in events:
        key = str(event.aggregate_id)
        if event.kind in {"job", "part", "dispatch", "build"}:
            job_of.setdefault(key, vars(event.event).get("job_id", key))
            found.setdefault(job_of[key], []).append(event)
    return found


@pytest.mark.parametrize("troubles", [False, True])
def test_every_event_of_a_job_leads_back_to_the_submission_or_to_a_persons_word(
    troubles: bool,
) -> None:
    looked_at = 0
    for seed in range(SEEDS):
        events = played(seed, troubles=troubles)
        known = {event.event_id: event for event in events}
        for job_id, own in by_job(events).items():
            submitted = own[0]
            for event in own:
                root = root_of(event, known)
                looked_at += 1
                if root is not submitted:
                    assert root.envelope.actor.kind == PERSON.kind, (seed, job_id, root.topic)
                    told_about = {"job", "part", "build"}
                    assert root.kind in told_about, (seed, event.topic, root.topic)
    assert looked_at > 100


def test_what_services_and_bridges_do_for_a_job_belongs_to_its_story() -> None:
    events = played(3, troubles=True)
    for own in by_job(events).values():
        story = own[0].envelope.correlation_id
        for event in own:
            if event.envelope.actor.kind != PERSON.kind:
                assert event.envelope.correlation_id == story, event.topic


def test_a_decision_names_the_event_that_was_its_occasion() -> None:
    events = played(5, troubles=False)
    chosen = [event for event in events if isinstance(event.event, Dispatch.NodeChosen)]
    freed = [events[c.event.decision["fleet_position"] - 1].topic for c in chosen]
    assert "imewe.node:BedCleared" in freed
    wanted = {event.event_id: event for event in events}
    assert all(wanted[c.envelope.causation_id].aggregate_id == c.aggregate_id for c in chosen)


def test_what_a_machine_reports_follows_from_the_order_it_was_sent() -> None:
    events = played(1, troubles=False)
    sent = {e.event_id: e for e in events if isinstance(e.event, Build.Sent)}
    told = [e for e in events if e.envelope.actor.kind == BRIDGE.kind and e.kind == "build"]
    assert told
    for event in told:
        assert sent[event.envelope.causation_id].aggregate_id == event.aggregate_id
