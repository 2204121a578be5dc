"""The processes service on a real log: an order becomes a finished part, through restarts."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from domain.ports import Clock
from domain.shared.errors import IllegalTransitionError, UnavailableError
from ops.artifacts.bucket import Bucket
from ops.artifacts.store import BUCKET, JetStreamArtifactStore
from ops.messaging.connection import connect
from ops.messaging.server import EmbeddedNats
from ops.messaging.timers import Timers
from ops.processing.lease import Lease, LeaseLostError
from ops.settings import CHECKOUT, Settings
from tests.integration.processes_shop import FIGURES, Shop, running_processes, running_shop

pytestmark = pytest.mark.stack

PROCESSES = """
import sys
from pathlib import Path
from ops.services.processes import main
from ops.settings import Settings
main(Settings(home=Path(sys.argv[1])))
"""


@pytest.fixture
async def shop(fresh_nats: EmbeddedNats, fresh_settings: Settings) -> AsyncIterator[Shop]:
    assert fresh_nats.poll() is None
    async with running_shop(fresh_settings) as found:
        yield found


async def test_an_order_becomes_finished_parts_and_the_books_are_right(
    shop: Shop, fresh_settings: Settings
) -> None:
    async with running_processes(fresh_settings):
        node_id = await shop.printer("virtual one")
        await shop.order(quantity=2)
        work = await shop.make(node_id)
        assert work["command"] == "start"
        assert work["artifact"]["format"] == "gcode"
        assert work["density_mg_per_mm3"] == pytest.approx(1.24)
        await shop.until(lambda topics: "node:ExecutionEnded" in topics)
        await shop.do("ClearBed", node_id=node_id, by="anna")
        await shop.make(node_id)
        topics = await shop.until(lambda topics: "job:Completed" in topics)
        await shop.until(lambda topics: topics.count("build:Inspected") == 2)
    assert topics.count("build:Started") == 2
    assert topics.count("inventory:Consumed") == 2
    chosen = next(e.event for e in shop.events() if e.topic == "imewe.dispatch:NodeChosen")
    assert chosen.decision["policy"] == "weighted-score"
    assert chosen.decision["candidates"][0]["node_id"] == node_id


async def test_what_a_killed_upload_left_is_removed_when_the_service_starts(
    shop: Shop, fresh_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await connect(fresh_settings, "gateway")
    bucket = Bucket(gateway, BUCKET)
    await bucket.append("abandoned", b"chunk")
    monkeypatch.setattr("ops.artifacts.store.ABANDONED_AFTER", timedelta(seconds=-5))
    async with running_processes(fresh_settings), asyncio.timeout(30):
        while await bucket.unfinished():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await gateway.close()


async def test_a_store_that_cannot_be_swept_keeps_no_order_waiting(
    shop: Shop, fresh_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def sweep(_: JetStreamArtifactStore, __: Clock) -> int:
        asked.set()
        raise UnavailableError("The file store does not answer.")

    monkeypatch.setattr(JetStreamArtifactStore, "sweep", sweep)
    async with running_processes(fresh_settings):
        node_id = await shop.printer("virtual one")
        await shop.order()
        await shop.make(node_id)
        await shop.until(lambda topics: "job:Completed" in topics)
    assert asked.is_set()


async def test_a_file_that_no_machine_can_make_is_rejected_with_reasons(
    shop: Shop, fresh_settings: Settings
) -> None:
    async with running_processes(fresh_settings):
        await shop.printer("virtual small", max_size={"x": 30.0, "y": 30.0, "z": 30.0})
        await shop.order()
        await shop.until(lambda topics: "job:Rejected" in topics)
    rejected = next(e.event for e in shop.events() if e.topic == "imewe.part:Rejected")
    assert [reason["code"] for reason in rejected.reasons] == ["TOO_LARGE"]


async def test_a_build_that_nobody_accepts_is_withdrawn_and_tried_elsewhere(
    shop: Shop, fresh_settings: Settings
) -> None:
    async with running_processes(fresh_settings, accept_within=timedelta(seconds=1)):
        first = await shop.printer("virtual deaf")
        await shop.order()
        lost = await shop.take_work(first)
        second = await shop.printer("virtual awake")
        await shop.make(second)
        await shop.until(lambda topics: "job:Completed" in topics)
        with pytest.raises(IllegalTransitionError):
            await shop.say(
                "AcceptBuild", build_id=lost["build_id"], node_id=first, epoch=lost["epoch"]
            )


async def test_a_cancelled_job_stops_its_machine_and_books_the_waste(
    shop: Shop, fresh_settings: Settings
) -> None:
    async with running_processes(fresh_settings):
        node_id = await shop.printer("virtual one")
        job_id = await shop.order(quantity=2)
        work = await shop.take_work(node_id)
        build = {"build_id": work["build_id"]}
        await shop.say("AcceptBuild", **build, node_id=node_id, epoch=work["epoch"])
        await shop.say("StartBuild", **build, epoch=work["epoch"])
        await shop.do("CancelJob", job_id=job_id)
        await shop.until(lambda topics: "build:CancelRequested" in topics)
        async with asyncio.timeout(30):
            asked = await shop.asked.get()
        assert asked == ("cancel", {"node_id": node_id, **build})
        await shop.say("ConfirmCancelled", **build, **FIGURES)
        topics = await shop.until(lambda topics: "job:Cancelled" in topics)
        topics = await shop.until(lambda topics: topics.count("dispatch:Closed") == 2)
    assert topics.count("inventory:Wasted") == 1


async def test_a_held_node_pauses_its_build_and_goes_on_after(
    shop: Shop, fresh_settings: Settings
) -> None:
    async with running_processes(fresh_settings):
        node_id = await shop.printer("virtual one")
        await shop.order()
        work = await shop.take_work(node_id)
        build = {"build_id": work["build_id"]}
        await shop.say("AcceptBuild", **build, node_id=node_id, epoch=work["epoch"])
        await shop.say("StartBuild", **build, epoch=work["epoch"])
        await shop.until(lambda topics: "part:PieceStarted" in topics)
        await shop.do("PauseNode", node_id=node_id, reason="lunch")
        await shop.say("ReportPaused", **build)
        await shop.until(lambda topics: "job:Paused" in topics)
        await shop.do("ResumeNode", node_id=node_id)
        await shop.say("ReportResumed", **build)
        await shop.say("FinishBuild", **build, **FIGURES)
        await shop.until(lambda topics: "job:Completed" in topics)
    assert [shop.asked.get_nowait()[0] for _ in range(2)] == ["pause", "resume"]


async def test_a_restart_in_the_middle_goes_on_and_sends_nothing_twice(
    shop: Shop, fresh_settings: Settings
) -> None:
    async with running_processes(fresh_settings):
        node_id = await shop.printer("virtual one")
        await shop.order(quantity=3)
        await shop.make(node_id)
    for made in (1, 2):
        async with running_processes(fresh_settings):
            await shop.until(lambda topics, n=made: topics.count("node:ExecutionEnded") == n)
            await shop.do("ClearBed", node_id=node_id, by="anna")
            await shop.make(node_id)
    async with running_processes(fresh_settings):
        topics = await shop.until(lambda topics: "job:Completed" in topics)
    assert topics.count("build:Planned") == 3
    assert topics.count("part:PieceQueued") == 3
    assert topics.count("dispatch:Reverting") == 0


@pytest.mark.parametrize("moment", ["dispatch:NodeReserved", "build:Sent"])
async def test_a_killed_runner_is_followed_by_one_that_goes_on_from_its_position(
    shop: Shop, fresh_settings: Settings, moment: str
) -> None:
    killed = await child(fresh_settings)
    node_id = await shop.printer("virtual one")
    await shop.order(quantity=2)
    await shop.until(lambda topics: moment in topics)
    killed.kill()
    await killed.wait()
    async with running_processes(fresh_settings):
        await shop.make(node_id)
        await shop.until(lambda topics: "node:ExecutionEnded" in topics)
        await shop.do("ClearBed", node_id=node_id, by="anna")
        await shop.make(node_id)
        topics = await shop.until(lambda topics: "job:Completed" in topics)
        await shop.until(lambda topics: topics.count("build:Inspected") == 2)
    assert topics.count("build:Started") == topics.count("build:Planned") == 2
    assert topics.count("node:Reserved") == topics.count("inventory:Reserved") == 2


async def test_a_killed_log_server_is_waited_for_and_nothing_is_done_twice(
    shop: Shop, fresh_nats: EmbeddedNats, fresh_settings: Settings
) -> None:
    async with running_processes(fresh_settings):
        node_id = await shop.printer("virtual one")
        await shop.order()
        await shop.until(lambda topics: "dispatch:NodeChosen" in topics)
        assert fresh_nats.pid
        os.kill(fresh_nats.pid, signal.SIGKILL)
        await asyncio.to_thread(started_again, fresh_nats)
        await shop.make(node_id)
        topics = await shop.until(lambda topics: "job:Completed" in topics, within=60)
    assert topics.count("build:Started") == topics.count("node:Reserved") == 1


def started_again(server: EmbeddedNats) -> None:
    """The server as its supervisor would start it."""
    while server.poll() is None:
        time.sleep(0.01)
    server.start()


async def child(settings: Settings) -> asyncio.subprocess.Process:
    """The processes service as a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROCESSES, str(settings.home), cwd=CHECKOUT
    )


async def test_of_two_runners_one_works_and_the_other_takes_over_at_once(
    shop: Shop, fresh_settings: Settings
) -> None:
    async with running_processes(fresh_settings) as first:
        node_id = await shop.printer("virtual one")
        async with running_processes(fresh_settings):
            await shop.order()
            await shop.until(lambda topics: "build:Sent" in topics)
            first.cancel()
            await shop.make(node_id)
            topics = await shop.until(lambda topics: "job:Completed" in topics)
    assert topics.count("build:Planned") == 1


async def test_who_lost_the_lease_cannot_move_the_position(
    shop: Shop, fresh_settings: Settings
) -> None:
    client = await connect(fresh_settings, "log_processes")
    first, second = Lease(client, "test"), Lease(client, "test", ttl_s=1.0)
    assert await first.acquire() == 0
    await first.keep(41)
    await first.give_up(42)
    assert await second.acquire() == 42
    with pytest.raises(LeaseLostError):
        await first.keep(43)
    await second.keep(44)
    await client.close()


async def test_a_lease_whose_holder_falls_silent_is_taken_after_its_time(
    shop: Shop, fresh_settings: Settings
) -> None:
    client = await connect(fresh_settings, "log_processes")
    silent, waiting = Lease(client, "test"), Lease(client, "test", ttl_s=2.0)
    await silent.acquire()
    await silent.keep(7)
    assert await waiting.acquire() == 7
    await client.close()


async def test_an_alarm_rings_once_it_is_due_and_not_when_cleared(
    shop: Shop, fresh_settings: Settings
) -> None:
    client = await connect(fresh_settings, "log_processes")
    timers = Timers(client)
    rung: asyncio.Queue[str] = asyncio.Queue()

    soon = datetime.now(UTC) + timedelta(seconds=3)
    await timers.set("cleared", soon)
    await timers.set("kept", soon)
    await timers.set("moved", soon)
    await timers.set("moved", soon + timedelta(hours=1))
    await timers.clear("cleared")
    await asyncio.sleep(4.5)  # late ones are delivered to whoever listens next
    listening = asyncio.create_task(timers.listen(rung.put))
    async with asyncio.timeout(30):
        assert await rung.get() == "kept"
    await asyncio.sleep(0.3)
    listening.cancel()
    assert rung.empty()
    await client.close()
