"""Stories in which every event says what it follows from, and the history's rows of events."""

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import orjson

from commands.principal import Principal
from commands.processes.assessing import questions
from domain.job.aggregate import Job
from domain.job.states import ENDED
from domain.shared.errors import ImeweError
from domain.shared.recorded import RecordedEvent
from ops.eventstore.mapper import json_bytes
from projections.history.projector import EVENTS, History
from projections.history.rows import EventRow
from projections.rows import Rows
from tests.simulation.players import Players
from tests.simulation.shop import BRIDGE, Log, Runner

STEPS = 6000
_IN_ENVELOPE = {"originator_id", "originator_version", "timestamp", "command", "originator_topic"}


def rows_of(events: Iterable[RecordedEvent]) -> list[EventRow]:
    """What the history keeps of events, as a query reads it."""
    rows, projection = Rows(), History()
    for recorded in events:
        projection.fold(rows, recorded)
        rows.keep(recorded.position)
    return [replace(row, body=orjson.loads(row.body)) for row in dict(rows.appended())[EVENTS]]


class Telling(Players):
    """Bridges and the bench say what their commands follow from, as the real ones do."""

    def do(self, command: Any, *, by: Principal) -> bool:
        causation, correlation = self._cause(command, by)
        try:
            self.log.obey(
                command,
                by=by,
                command_id=f"{next(self._number)}",
                causation=causation,
                correlation=correlation,
            )
        except ImeweError:
            return False
        return True

    def _cause(self, command: Any, by: Principal) -> tuple[str, str]:
        fields = vars(command)
        if by == BRIDGE and fields.get("build_id") in self.messages:
            message = self.messages[fields["build_id"]]
            return message["causation_id"], message["correlation_id"]
        if "reach_mm" in fields or "reasons" in fields:
            for question in questions(self.runner.processes.fleet):
                if question.part_id == fields["part_id"]:
                    return question.causation_id, question.correlation_id
        return "", ""

    def deliver(self) -> None:
        for relay in self.runner.work:
            self.messages[relay.build_id] = relay.message
        super().deliver()

    @property
    def messages(self) -> dict[str, Any]:
        return vars(self).setdefault("_messages", {})


def played(seed: int, *, troubles: bool) -> list[RecordedEvent]:
    """A shop until every job has ended."""
    chance = random.Random(seed)
    log = Log()
    runner = Runner(log, chance)
    players = Telling(log, runner)
    players.open_shop()
    for _ in range(3):
        players.submit()
    everyday: list[Callable[[], None]] = [
        *[runner.read] * 12,
        *[runner.work_off] * 14,
        *[players.deliver] * 3,
        *[players.run_on] * 4,
        *[players.assess] * 2,
        *[players.answer] * 3,
        *[players.clear_beds, players.inspect, players.connect, players.resume],
    ]
    trouble = [players.cancel, players.hold, runner.ring, runner.crash, players.scrap_running]
    for step in range(STEPS):
        upset = troubles and step < STEPS / 8 and chance.random() < 0.03
        chance.choice(trouble if upset else everyday)()
        if all(job.status in ENDED for job in log.all(Job)) and runner.idle:
            break
    return [_whole(event) for event in log.events]


def _whole(event: RecordedEvent) -> RecordedEvent:
    """With the body and a hash, as the log has them."""
    fields = {k: v for k, v in vars(event.event).items() if k not in _IN_ENVELOPE}
    return event._replace(body=json_bytes(fields), hash=f"sha256:{event.position:064x}")
