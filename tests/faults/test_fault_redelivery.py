"""What comes twice, late or after a crash: an alarm whose obedience was not noted rings again, and
a command that is sent again hours later is answered as it was.
"""

import asyncio
import time
from contextlib import closing
from pathlib import Path

import pytest

from ops.messaging.server import EmbeddedNats
from ops.settings import Settings
from tests.faults_child import DEADLINE_S, program
from tests.integration.commands_rig import commands_rig
from tests.integration.processes_shop import Shop, log_client, running_processes, running_shop

pytestmark = pytest.mark.stack


async def test_an_alarm_that_was_obeyed_and_not_forgotten_rings_again_and_does_nothing_more(
    fresh_nats: EmbeddedNats,
    fresh_settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert fresh_nats.poll() is None
    monkeypatch.setattr("ops.messaging.timers.PULL_S", 2.0)
    async with running_shop(fresh_settings) as shop:
        with program(tmp_path, "processes", str(fresh_settings.home), "1") as dying:
            await asyncio.to_thread(dying.until_said, "processes take over")
            dying.arm("processes.alarm.done", "")
            deaf = await shop.printer("virtual deaf")
            await shop.order()
            lost = await shop.take_work(deaf)  # and never accepts it
            await asyncio.to_thread(dying.until_dead)
        async with running_processes(fresh_settings):
            await asyncio.to_thread(_until_no_alarm, fresh_settings)
            await _heal(shop, deaf, lost["build_id"])
            topics = await shop.until(lambda topics: "job:Completed" in topics, within=60)
    assert topics.count("build:Failed") == 1
    assert topics.count("build:Started") == 1


async def _heal(shop: Shop, node_id: str, lost: str) -> None:
    """Another attempt comes, on the same machine or on another one."""
    awake = await shop.printer("virtual awake")
    taking = [asyncio.create_task(shop.make(each)) for each in (node_id, awake)]
    done, rest = await asyncio.wait(taking, return_when=asyncio.FIRST_COMPLETED)
    for each in rest:
        each.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    assert done.pop().result()["build_id"] != lost


def _until_no_alarm(settings: Settings) -> None:
    """Every alarm that has rung is forgotten."""
    until = time.monotonic() + DEADLINE_S
    asked = {"subjects_filter": "imewe.timer.due.>"}
    with closing(log_client(settings, "log_supervisor")) as client:
        while client.api("STREAM.INFO.IMEWE_TIMERS", asked)["state"].get("subjects"):
            assert time.monotonic() < until, "an alarm rings for ever"
            time.sleep(0.1)


async def test_a_command_that_comes_again_late_is_answered_as_it_was(
    fresh_nats: EmbeddedNats, fresh_settings: Settings
) -> None:
    """The job has moved on, the service was started anew, and kept answers are gone."""
    assert fresh_nats.poll() is None
    async with commands_rig(fresh_settings) as rig:
        await rig.start()
        first = await rig.send("SubmitJob", rig.job, "job")
        change = {"job_id": first["id"], "priority": 2}
        second = await rig.send("ReprioritizeJob", change, "to two")
        for number in range(20):
            await rig.send("ReprioritizeJob", {**change, "priority": number % 9 + 1}, f"n{number}")
        rig.stop()
        rig.copies.clear()
        with closing(log_client(fresh_settings, "log_supervisor")) as supervisor:
            supervisor.api("STREAM.PURGE.KV_IMEWE_ANSWERS")
        await rig.start()
        before = len(await asyncio.to_thread(rig.records))
        again = await asyncio.gather(
            *(rig.send("ReprioritizeJob", change, "to two") for _ in range(5)),
            *(rig.send("SubmitJob", rig.job, "job") for _ in range(5)),
        )
        assert again == [second] * 5 + [first] * 5
        assert len(await asyncio.to_thread(rig.records)) == before
