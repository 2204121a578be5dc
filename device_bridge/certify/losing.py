"""Checks of a link that is lost and comes back."""

import asyncio

from device_bridge.certify.bench import Bench, CheckFailedError, require, until
from device_bridge.certify.check import Applies, Check
from device_bridge.errors import DeviceError
from device_bridge.protocols import LinkLost
from domain.node.states import Availability

AWAY_S = 0.3
QUIET_S = 1.0
GOES_ON = "continues_without_host"


async def loss_told_once(bench: Bench) -> str:
    """A lost link is told once, and the machine is UNAVAILABLE."""
    await bench.driver.connect()
    await _lose(bench, AWAY_S)
    await asyncio.sleep(QUIET_S)
    losses = [event for event in bench.told if isinstance(event, LinkLost)]
    require(len(losses) == 1, f"the loss was told {len(losses)} times")
    return losses[0].error.message[:60]


async def loss_leaves_unknown(bench: Bench) -> str:
    """A program whose link was lost has an unknown end: not finished, not failed."""
    handle = await bench.begin(bench.peer.long_program)
    await _lose(bench, AWAY_S)
    if _goes_on_alone(bench):
        require(not handle.result.done(), "the run was judged while the machine was out of sight")
        return "the machine goes on alone; the run stays open"
    result = await bench.end(handle)
    require(result.outcome == "unknown", f"{result.outcome} although nobody saw the end")
    return result.reason


async def reconnect_probes(bench: Bench) -> str:
    """A new connection asks who is there, and starts or resumes nothing."""
    await bench.begin(bench.peer.long_program)
    starts = bench.starts()
    await _lose(bench, AWAY_S)
    await bench.driver.disconnect()
    identity = await _back(bench)
    done = bench.lines_done()
    await asyncio.sleep(QUIET_S)
    require(identity.strip(), "the new connection tells no firmware")
    require(bench.starts() == starts, "the program was started again")
    if not _goes_on_alone(bench):
        require(bench.lines_done() == done, "the program was resumed")
    return f"{identity}, nothing resumed"


async def reads_again(bench: Bench) -> str:
    """After a lost link a new connection reads as before."""
    await bench.driver.connect()
    await _lose(bench, AWAY_S)
    await bench.driver.disconnect()
    return await _back(bench)


async def _lose(bench: Bench, away_s: float) -> None:
    if bench.peer.unplug is not None:
        bench.peer.unplug(away_s)
    await until(
        lambda: bench.driver.get_status().availability is Availability.UNAVAILABLE,
        "UNAVAILABLE after the link was cut",
    )


async def _back(bench: Bench) -> str:
    """Connect as soon as the machine is there again."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + 30.0
    while True:
        try:
            found = await bench.driver.connect()
        except DeviceError as problem:
            if loop.time() > give_up:
                raise CheckFailedError(f"no new connection: {problem.message}") from problem
            await asyncio.sleep(0.2)
            continue
        available = bench.driver.get_status().availability is Availability.AVAILABLE
        require(available, "not AVAILABLE after a new connection")
        return found.firmware


def _goes_on_alone(bench: Bench) -> bool:
    """Whether the machine holds the program itself; a driver's class says so."""
    kinds = type(bench.driver).__mro__
    return next((bool(vars(k)[GOES_ON]) for k in kinds if GOES_ON in vars(k)), False)


LOSING = (
    Check(
        name="loss-told-once",
        says="a lost link is told once and the machine becomes UNAVAILABLE",
        run=loss_told_once,
        applies=Applies.ALL,
        needs=("unplug",),
        moves=False,
    ),
    Check(
        name="loss-leaves-unknown",
        says="a program whose link was lost has no known end",
        run=loss_leaves_unknown,
        needs=("long_program", "unplug"),
    ),
    Check(
        name="reconnect-probes",
        says="a new connection probes and starts or resumes nothing",
        run=reconnect_probes,
        needs=("long_program", "unplug"),
    ),
    Check(
        name="reads-again",
        says="after a lost link a new connection reads as before",
        run=reads_again,
        applies=Applies.READ_ONLY,
        needs=("unplug",),
        moves=False,
    ),
)
