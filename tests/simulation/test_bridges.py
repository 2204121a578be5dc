"""Hundreds of shops with real bridges that are killed between any two steps: each build starts its
machine at most once, never on a bed that is not clear, and nobody guesses how a build ended."""

import asyncio
import random
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from device_bridge.session_state import SessionState
from domain.build.aggregate import Build
from domain.job.aggregate import Job
from domain.job.states import ENDED as JOB_ENDED
from tests.simulation.bridge_world import OTHER, World
from tests.simulation.devices import Device
from tests.simulation.shop import BRIDGE

SEEDS = 8
LONG_SEEDS = 1000
TROUBLED_STEPS = 700
QUIET_STEPS = 12_000
MEMORY = Path("/dev/shm")


@pytest.mark.timeout(0)
def test_no_build_starts_twice_or_on_a_taken_bed_and_what_nobody_saw_is_a_question(
    long_tests: bool,
) -> None:
    if not long_tests:
        for seed in range(SEEDS):
            right(seed)
        return
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for _ in pool.map(right, range(LONG_SEEDS), chunksize=10):
            pass


def test_the_same_seed_plays_the_same_lives() -> None:
    assert right(3) == right(3)


def right(seed: int) -> tuple[int, ...]:
    """Play one shop; machines refuse, by an assertion, what must never happen to them."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.exists() else None) as folder:
        world = World(seed, Path(folder))
        broken: list[Any] = []
        world.loop.set_exception_handler(lambda _, context: broken.append(context))
        try:
            world.open()
            world.loop.run_until_complete(_play(world, broken))
            assert not broken, broken[0]
            _check(seed, world)
        except AssertionError as wrong:
            raise AssertionError(f"seed {seed}") from wrong
        finally:
            world.close()
        starts = sum(d.starts.total() for d in world.devices.values())
        return starts, world.kills, world.restored, world.loop.ticks, len(world.log.events)


async def _play(world: World, broken: list[Any]) -> None:
    chance, players, runner = world.chance, world.players, world.runner
    everyday: list[Callable[[], Any]] = [
        *[runner.read] * 12,
        *[runner.work_off] * 14,
        *[players.assess] * 2,
        *[world.answer] * 3,
        *[players.clear_beds, players.inspect, players.resume, world.plug_in],
        *[world.start, world.clear_faults],
    ]
    trouble: list[Callable[[], Any]] = [
        *[players.cancel, players.reprioritize, players.hold, players.submit],
        *[players.scrap_running, runner.ring, runner.crash],
        *[world.post_again] * 4,
        *[world.unplug] * 2,
        *[world.emergency, world.back_up, world.kill],
        *[lambda: world.start(OTHER), lambda: world.kill(OTHER)],
    ]
    restores = chance.random() < 0.25
    runner.lossy = 0.1
    _kill_anywhere(world, chance)
    for step in range(TROUBLED_STEPS):
        await asyncio.sleep(chance.choice((0.0, 0.01, 0.3)))
        chance.choice(trouble if chance.random() < 0.05 else everyday)()
        if restores and step in (TROUBLED_STEPS // 2, TROUBLED_STEPS - 100):
            await world.restore()
        if broken:
            return
    world.kill(OTHER)
    world.loop.at_tick = lambda: None
    world.lossy = runner.lossy = 0.0
    world.plug_in()
    for step in range(QUIET_STEPS):
        await asyncio.sleep(chance.choice((0.01, 0.3, 1.0)))
        chance.choice(everyday)()
        if step % 200 == 0:
            players.receive()
            runner.ring()
            if broken or (all(j.status in JOB_ENDED for j in world.log.all(Job)) and runner.idle):
                break
        if world.restored and step > 1000:
            break  # what a restored core never heard of is for people to settle
    world.start()
    await asyncio.sleep(120)  # the bridge's last reports


def _kill_anywhere(world: World, chance: random.Random) -> None:
    """Between two steps of whatever runs, at random; dense in some shops, rare in others."""
    mean = chance.choice((60, 250, 1000))
    next_at = world.loop.ticks + chance.expovariate(1 / mean)

    def at_tick() -> None:
        nonlocal next_at
        if world.loop.ticks >= next_at:
            next_at = world.loop.ticks + chance.expovariate(1 / mean)
            world.kill(BRIDGE)

    world.loop.at_tick = at_tick


def _check(seed: int, world: World) -> None:
    if world.restored:
        return
    cut = {
        build for device in world.devices.values() for build in device.cut if _heard(world, device)
    }
    told: dict[str, set[str]] = {"asked": set(), "finished": set()}
    for recorded in world.log.events:
        if isinstance(recorded.event, Build.OutcomeBecameUnknown):
            told["asked"].add(str(recorded.aggregate_id))
        if isinstance(recorded.event, Build.Finished):
            told["finished"].add(str(recorded.aggregate_id))
    assert not cut & told["finished"], (seed, "a guess", cut & told["finished"])
    assert cut <= told["asked"], (seed, "nobody was asked", cut - told["asked"])
    started = {build for device in world.devices.values() for build in device.starts}
    assert told["finished"] <= started, (seed, "finished and never begun")


def _heard(world: World, device: Device) -> bool:
    """Whether the last bridge speaks with the machine; of a stopped one it asks when cleared."""
    session = world.bridge.sessions.get(device.node_id) if world.bridge else None
    return session is not None and session.state is SessionState.IDLE
