"""Order within a lane, none between lanes, and a mark that never passes what is not done."""

import asyncio
from datetime import UTC, datetime

from commands.parts.messages import CancelPart
from commands.processes.outputs import Ask, Cause, Output, SetTimer
from commands.processes.progress import Progress
from domain.shared.errors import ConflictError, UnavailableError
from ops.processing.lanes import Lanes
from tests.waiting import until

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def thing(name: str, lane: str = "a") -> SetTimer:
    return SetTimer(timer_id=name, due=NOON, lane=lane)


class World:
    """Remembers what was done; things wait for their gate, and may fail first."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.failures: dict[str, list[Exception]] = {}
        self.instead: dict[str, Output] = {}

    async def do(self, output: Output) -> Output | None:
        assert isinstance(output, SetTimer)
        name = output.timer_id
        if name in self.gates:
            await self.gates[name].wait()
        if self.failures.get(name):
            raise self.failures[name].pop()
        self.done.append(name)
        return self.instead.get(name)


async def settled(lanes: Lanes) -> None:
    await until(lambda: lanes.idle)


async def test_one_lane_keeps_its_order_while_another_waits() -> None:
    world, progress = World(), Progress(0)
    world.gates["slow"] = asyncio.Event()
    lanes = Lanes(world.do, progress)
    await lanes.take(1, [thing("slow", "a"), thing("after", "a")])
    await lanes.take(2, [thing("other", "b")])
    await until(lambda: world.done == ["other"])
    assert progress.mark == 0
    world.gates["slow"].set()
    await settled(lanes)
    assert world.done == ["other", "slow", "after"]
    assert progress.mark == 2


async def test_a_step_that_asks_for_nothing_is_done_at_once() -> None:
    progress = Progress(4)
    lanes = Lanes(World().do, progress)
    await lanes.take(5, [])
    assert progress.mark == 5


async def test_what_cannot_be_done_now_is_tried_again_in_its_place() -> None:
    world = World()
    world.failures["first"] = [UnavailableError("away"), ConflictError("changed")]
    lanes = Lanes(world.do, Progress(0))
    await lanes.take(1, [thing("first"), thing("second")])
    await settled(lanes)
    assert world.done == ["first", "second"]


async def test_a_refusal_puts_something_else_in_the_place_of_the_rest_of_its_step() -> None:
    world = World()
    world.instead["refused"] = thing("revert")
    lanes = Lanes(world.do, Progress(0))
    await lanes.take(1, [thing("refused"), thing("dropped")])
    await lanes.take(2, [thing("next step")])
    await settled(lanes)
    assert world.done == ["refused", "revert", "next step"]


async def test_bridges_that_do_not_answer_hold_up_nobody() -> None:
    heard: list[str] = []
    silence = asyncio.Event()

    async def do(output: Output) -> Output | None:
        if isinstance(output, Ask):
            await silence.wait()
        heard.append(output.lane)
        return None

    lanes = Lanes(do, Progress(0))
    asks = [Ask(bridge="b", verb="pause", node_id=f"n{n}", build_id="x") for n in range(50)]
    await lanes.take(1, asks)
    await lanes.take(2, [thing("work", "job")])
    await until(lambda: heard == ["job"])
    silence.set()
    await settled(lanes)
    assert len(heard) == 51


async def test_what_is_dropped_at_the_end_is_not_marked_as_done() -> None:
    world, progress = World(), Progress(0)
    world.gates["never"] = asyncio.Event()
    lanes = Lanes(world.do, progress)
    await lanes.take(1, [thing("never")])
    await lanes.take(2, [thing("other", "b")])
    await until(lambda: world.done == ["other"])
    await lanes.stop()
    assert progress.mark == 0


def test_a_command_is_named_by_its_cause_and_by_what_it_is_about() -> None:
    def named(cause: str, part: str) -> str:
        made = Cause(id=cause, organisation_id="", correlation_id="")
        return made.send(CancelPart(part_id=part), lane="job").command_id

    assert named("event 1", "part 1") == named("event 1", "part 1")
    assert (
        len({named("event 1", "part 1"), named("event 1", "part 2"), named("event 2", "part 1")})
        == 3
    )
