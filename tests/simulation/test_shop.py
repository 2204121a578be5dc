"""Hundreds of shops, each with its own bad luck: whatever happens, the books are right."""

import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from commands.processes.runner import Processes
from domain.build.aggregate import Build
from domain.build.states import ENDED as BUILD_ENDED
from domain.dispatch.aggregate import Dispatch, DispatchStatus
from domain.inventory.aggregate import Inventory
from domain.job.aggregate import Job
from domain.job.states import ENDED as JOB_ENDED
from domain.node.aggregate import Node
from domain.part.aggregate import Part
from tests.simulation.players import Players
from tests.simulation.readers import Readers, check_readers
from tests.simulation.shop import Log, Runner

SEEDS = 200
LONG_SEEDS = 100_000
TROUBLED_STEPS = 900
QUIET_STEPS = 12_000


def played(seed: int) -> tuple[Log, Runner, Players]:
    """The shop alone."""
    return watched(seed)[:3]


def watched(seed: int) -> tuple[Log, Runner, Players, Readers]:
    """A shop with trouble for a while, and then with time to finish; read models follow it."""
    chance = random.Random(seed)
    log = Log()
    runner = Runner(log, chance)
    players = Players(log, runner)
    readers = Readers(log, chance)
    players.open_shop()
    for _ in range(chance.randint(1, 4)):
        players.submit()
    runner.lossy = 0.1
    everyday: list[Callable[[], None]] = [
        *[runner.read] * 12,
        *[runner.work_off] * 14,
        *[players.deliver] * 3,
        *[players.run_on] * 4,
        *[players.assess] * 2,
        *[players.answer] * 3,
        readers.read,
        *[players.clear_beds, players.inspect, players.connect, players.resume],
        players.clear_stops,
    ]
    trouble = [
        players.cancel,
        players.reprioritize,
        players.hold,
        players.emergency,
        players.scrap_running,
        runner.ring,
        runner.crash,
        players.submit,
    ]
    for _ in range(TROUBLED_STEPS):
        chance.choice(trouble if chance.random() < 0.03 else everyday)()
    runner.lossy = 0.0
    for step in range(QUIET_STEPS):
        chance.choice(everyday)()
        if step % 200 == 0:
            players.receive()
            players.resume()
            runner.ring()
            if all(job.status in JOB_ENDED for job in log.all(Job)) and runner.idle:
                break
    while not runner.idle:
        runner.read()
        runner.work_off()
    return log, runner, players, readers


@pytest.fixture(scope="module", params=["seeds"])
def seeds(long_tests: bool) -> range:
    return range(LONG_SEEDS if long_tests else SEEDS)


@pytest.mark.timeout(0)
def test_whatever_happens_every_job_ends_and_books_and_read_models_are_right(
    seeds: range, long_tests: bool
) -> None:
    if not long_tests:
        for seed in seeds:
            right(seed)
        return
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for _ in pool.map(right, seeds, chunksize=100):
            pass


def right(seed: int) -> None:
    """Play one shop and look at everything. The seed alone plays it again."""
    log, runner, players, readers = watched(seed)
    check(seed, log, runner, players)
    check_readers(seed, log, readers)


def check(seed: int, log: Log, runner: Runner, players: Players) -> None:
    """The promises of the shop, once it has come to rest."""
    for job in log.all(Job):
        assert job.status in JOB_ENDED, (seed, "a job never ended", str(job.id), job.status)
        parts = [part for part in log.all(Part) if part.job_id == str(job.id)]
        said = dict(job.parts)
        assert said == {str(part.id): part.status for part in parts}, (seed, "a stale part")
    for build_id, times in players.starts.items():
        assert times == 1, (seed, "a build started twice", build_id)
    for build in log.all(Build):
        assert build.status in BUILD_ENDED, (
            seed,
            "a build never ended",
            str(build.id),
            build.status,
        )
    for dispatch in log.all(Dispatch):
        assert dispatch.status == DispatchStatus.CLOSED, (seed, "a dispatch stayed open")
    for node in log.all(Node):
        assert not node.build_id, (seed, "a node is held for ever", node.build_id)
    for lot in log.all(Inventory):
        assert sum(lot.accounts.values()) == 0, (seed, "a ledger does not balance")
        assert lot.accounts["free"] >= 0, (seed, "negative stock")
        assert lot.accounts["reserved"] == 0, (seed, "material reserved for ever", lot.reservations)
    fleet = runner.processes.fleet
    assert not (fleet.jobs or fleet.waiting or fleet.claims), (seed, "the fleet forgot nothing")


def test_the_same_seed_plays_the_same_story() -> None:
    first, second = (played(7)[0].events for _ in range(2))
    assert [(e.topic, e.event_id, vars(e.event)) for e in first] == [
        (e.topic, e.event_id, vars(e.event)) for e in second
    ]


def test_a_fold_of_the_whole_log_knows_what_the_running_fold_knew() -> None:
    log, runner, _ = played(11)
    again = Processes()
    for recorded in log.events:
        again.remember(recorded)
    live, folded = runner.processes.fleet, again.fleet
    assert {k: vars(v) for k, v in folded.nodes.items()} == {
        k: vars(v) for k, v in live.nodes.items()
    }
    assert {k: v.accounts for k, v in folded.lots.items()} == {
        k: v.accounts for k, v in live.lots.items()
    }
    assert folded.position == live.position
