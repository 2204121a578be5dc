"""An older release beside a newer one: commands are refused by type, processes leave alone."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import orjson
import pytest
import structlog

from commands.processes.assessing import Assessor
from commands.wire import read_answer
from domain.job.aggregate import Job
from domain.shared.errors import NewerVersionError
from domain.shared.recorded import RecordedEvent
from ops.eventstore.envelope import HASH, Record
from ops.eventstore.reader import LogReader, PoisonEventError, recorded_event
from ops.eventstore.stored import OutgoingEvent
from ops.messaging.relay import WorkRelay
from ops.messaging.timers import Timers
from ops.processing.lease import Lease
from ops.processing.runner import Outside, Runner
from tests.eventlog import an_envelope
from tests.stocked_shop import DESIGNER, StockedShop
from tests.write_side import JOB

PATIENCE_S = 20.0


@pytest.fixture
def shop() -> StockedShop:
    return StockedShop()


def written_later(shop: StockedShop, topic: str, body: dict[str, Any], version: int) -> None:
    """What a later release appended to the shop's job."""
    job = shop.application.load(UUID(shop.job_id))
    event = OutgoingEvent(
        originator_id=job.id,
        originator_version=job.version + 1,
        topic=topic,
        state=orjson.dumps(body),
        occurred_at=shop.clock.now(),
        schema_version=version,
    )
    shop.log.insert_events([event], envelope=an_envelope())


@pytest.mark.parametrize(
    ("topic", "version"), [(Job.Reprioritized.TOPIC, 2), ("imewe.job:Archived", 1)]
)
def test_a_command_about_what_a_later_release_wrote_is_refused_by_type(
    shop: StockedShop, topic: str, version: int
) -> None:
    written_later(shop, topic, {"priority": 9}, version)
    before = len(shop.log.records)
    with pytest.raises(NewerVersionError) as caught:
        shop.send("ReprioritizeJob", {"job_id": shop.job_id, "priority": 3}, by=DESIGNER)
    assert "upgrade Imewe" in caught.value.remedy
    request = shop.request("ReprioritizeJob", {"job_id": shop.job_id, "priority": 3}, by=DESIGNER)
    answer = shop.service.command(request.subject, request.headers, request.body)
    assert orjson.loads(answer)["error"]["code"] == "NEWER_VERSION"
    with pytest.raises(NewerVersionError):
        read_answer(answer)
    assert len(shop.log.records) == before, "nothing was recorded on a guess"
    assert shop.send("SubmitJob", JOB, by=DESIGNER)["id"], "other objects go on"


class Commands:
    """Remembers what processes asked for."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.more = asyncio.Condition()

    async def send(self, name: str, payload: dict[str, Any], **more: str) -> dict[str, Any]:
        async with self.more:
            self.sent.append((name, payload))
            self.more.notify_all()
        return {"position": 0}

    async def about(self, job_id: str) -> None:
        """Until something was asked about a job."""
        async with self.more:
            await self.more.wait_for(
                lambda: any(payload.get("job_id") == job_id for _, payload in self.sent)
            )


class Holding:
    """A lease that nobody else wants."""

    async def acquire(self) -> int:
        return 0

    async def keep(self, position: int) -> None:
        """Kept."""

    async def give_up(self, position: int) -> None:
        """Given up."""


class Reader:
    """The log in memory, decoded as the real reader decodes it."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = [replace(each, headers={**each.headers, HASH: ""}) for each in records]
        self.at_end = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def read(self, after: int, limit: int) -> list[RecordedEvent]:
        found: list[RecordedEvent] = []
        for record in self.records[after : after + limit]:
            try:
                found.append(recorded_event(record))
            except PoisonEventError:
                if not found:
                    raise
                break
        return found

    def wait(self, timeout: float) -> bool:
        self._loop.call_soon_threadsafe(self.at_end.set)
        return False

    def stop(self) -> None:
        """Nothing waits."""


class Silent:
    """Alarms that never ring, and a bench that never ends."""

    async def listen(self, rang: Any) -> None:
        await asyncio.Event().wait()

    async def assess(self, *question: Any) -> Any:
        await asyncio.Event().wait()


async def test_processes_leave_one_object_alone_and_say_so(shop: StockedShop) -> None:
    written_later(shop, Job.Reprioritized.TOPIC, {"priority": 9}, 2)
    newer = len(shop.log.records)
    other = shop.send("SubmitJob", JOB, by=DESIGNER)["id"]
    commands, reader = Commands(), Reader(shop.log.records)
    outside = Outside(
        commands=commands,
        relay=cast("WorkRelay", None),
        timers=cast("Timers", Silent()),
        assessor=cast("Assessor", Silent()),
        clock=shop.clock,
    )
    runner = Runner(
        outside,
        cast("Lease", Holding()),
        cast("LogReader", reader),
        accept_within=timedelta(minutes=1),
    )
    with structlog.testing.capture_logs() as said:
        running = asyncio.create_task(runner.run())
        async with asyncio.timeout(PATIENCE_S):
            await commands.about(other)
            await reader.at_end.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    (told,) = [each for each in said if "cannot be read" in each["event"]]
    assert told["position"] == newer
    assert told["aggregate"] == shop.job_id
    assert "has version 2" in told["reason"]
    assert runner.processes.fleet.position == len(shop.log.records)
    assert {name for name, payload in commands.sent if payload.get("job_id") == other} == {
        "OrderPart"
    }
