"""Checks of drivers that run programs: once, held when held, ended when ended."""

import asyncio
from pathlib import Path

from device_bridge.certify.bench import Bench, CheckFailedError, require, until
from device_bridge.certify.check import Check
from device_bridge.errors import DeviceError
from device_bridge.protocols import JobSpec, Progressed
from domain.node.states import ConditionLevel, Execution

HELD = frozenset({
    Execution.FEED_HOLD, Execution.INTERRUPTED, Execution.OPTIONAL_STOP, Execution.PROGRAM_STOPPED,
})  # fmt: skip
STILL_S = 0.7


async def program_once(bench: Bench) -> str:
    """A program runs to its end, once; the journal's moment comes before the first byte."""
    await bench.driver.connect()
    moments: list[int] = []

    async def beginning() -> None:
        moments.append(bench.starts())

    handle = await bench.driver.execute_job(bench.job(bench.peer.program), beginning=beginning)
    result = await bench.end(handle)
    require(result.outcome == "finished", f"{result.outcome}: {result.reason} {result.native_text}")
    require(
        result.lines_done == result.lines_total == handle.lines_total,
        f"{result.lines_done} of {handle.lines_total} lines are said to be done",
    )
    require(
        moments == [0], f"`beginning` was awaited {len(moments)} times, moved before: {moments}"
    )
    await asyncio.sleep(STILL_S)
    require(bench.peer.starts is None or bench.starts() == 1, f"{bench.starts()} physical starts")
    require(bench.driver.get_status().execution is not Execution.ACTIVE, "ACTIVE after the end")
    _steady(bench, handle.build_id)
    return f"{result.lines_done} lines"


async def second_refused(bench: Bench) -> str:
    """While a program runs another one is refused, and the first goes on."""
    handle = await bench.begin(bench.peer.long_program)
    text = await _refused(bench, bench.job(bench.peer.program))
    require(not handle.result.done(), "the first program ended")
    require(bench.starts() <= 1, "the second program was started")
    return text


async def pause_holds(bench: Bench) -> str:
    """``pause`` returns when the machine holds; nothing is fed meanwhile."""
    handle = await bench.begin(bench.peer.long_program)
    await bench.driver.pause()
    execution = bench.driver.get_status().execution
    require(execution in HELD, f"{execution} after pause")
    held_at = bench.lines_done()
    await asyncio.sleep(STILL_S)
    require(bench.lines_done() == held_at, f"{bench.lines_done() - held_at} lines while held")
    require(not handle.result.done(), "the program ended while held")
    return f"{execution} at line {held_at}"


async def resume_goes_on(bench: Bench) -> str:
    """``resume`` goes on where the program was, without a second start."""
    handle = await bench.begin(bench.peer.long_program)
    await bench.driver.pause()
    held_at = bench.lines_done()
    await bench.driver.resume()
    await until(
        lambda: bench.driver.get_status().execution is Execution.ACTIVE, "ACTIVE after resume"
    )
    await until(lambda: bench.lines_done() > held_at, "lines are taken after resume")
    require(not handle.result.done(), "the program ended")
    require(bench.starts() <= 1, "the program was started again")
    return f"on from line {held_at}"


async def idle_refuses(bench: Bench) -> str:
    """Without a program there is nothing to pause, resume or cancel."""
    await bench.driver.connect()
    for verb in (bench.driver.pause, bench.driver.resume, bench.driver.cancel):
        try:
            await verb()
        except DeviceError:
            continue
        raise CheckFailedError(f"{verb.__name__} was taken without a program")
    return "pause, resume and cancel are refused"


async def cancel_ends(bench: Bench) -> str:
    """``cancel`` ends the program, switches heat and tools off; the next program runs."""
    handle = await bench.begin(bench.peer.long_program)
    returned = await bench.driver.cancel()
    result = await bench.end(handle)
    require(returned.outcome == result.outcome == "cancelled", f"{result.outcome} after cancel")
    if bench.peer.hot is not None:
        await until(lambda: not bench.hot(), "heat and tool off after cancel")
    following = await bench.driver.execute_job(bench.job(bench.peer.program))
    outcome = (await bench.end(following)).outcome
    require(outcome == "finished", f"the next program {outcome}")
    return f"at line {result.lines_done}, the next program finished"


async def error_stops(bench: Bench) -> str:
    """The machine's own error fails the program at once, with the machine's words kept."""
    handle = await bench.begin(bench.peer.long_program)
    if bench.peer.fail is not None:
        bench.peer.fail()
    result = await bench.end(handle)
    require(result.outcome == "failed", f"{result.outcome} after an error of the machine")
    require(result.native_text.strip(), "the machine's own words are not kept")
    await until(lambda: _faulty(bench), "a FAULT among the conditions", within_s=5.0)
    done = bench.lines_done()
    await asyncio.sleep(STILL_S)
    require(bench.lines_done() == done, "lines are taken after the error")
    return result.native_text[:60]


async def refuses_bad(bench: Bench) -> str:
    """A program that must not be sent is refused before anything of it is sent."""
    await bench.driver.connect()
    await asyncio.sleep(STILL_S)
    before = bench.received()
    refused = bench.job(bench.peer.refused_program)
    missing = JobSpec(build_id="certify-missing", program=refused.program.with_name("missing"))
    text = await _refused(bench, refused)
    await _refused(bench, bench.job("; nothing but a remark\n"))
    await _refused(bench, missing)
    require(bench.received() == before, f"{bench.received() - before} were sent all the same")
    require(bench.driver.get_status().execution is not Execution.ACTIVE, "ACTIVE after a refusal")
    return text


async def heat_off(bench: Bench) -> str:
    """``heat_off`` leaves no heater and no tool on, whatever the program left."""
    await bench.driver.connect()
    handle = await bench.driver.execute_job(bench.job(bench.peer.program))
    await bench.end(handle)
    was_hot = bench.hot()
    await bench.driver.heat_off()
    await until(lambda: not bench.hot(), "every heater and tool off", within_s=5.0)
    return "off" if was_hot else "was off already"


async def _refused(bench: Bench, job: JobSpec) -> str:
    begun: list[Path] = []

    async def beginning() -> None:
        begun.append(job.program)

    try:
        await bench.driver.execute_job(job, beginning=beginning)
    except DeviceError as refusal:
        require(not begun, "`beginning` was awaited for a program that was refused")
        return f"{refusal.code}: {refusal.message[:60]}"
    raise CheckFailedError("it was taken")


def _faulty(bench: Bench) -> bool:
    conditions = bench.driver.get_status().conditions
    return any(condition.level is ConditionLevel.FAULT for condition in conditions)


def _steady(bench: Bench, build_id: str) -> None:
    steps = [event for event in bench.told if isinstance(event, Progressed)]
    require(steps, "no progress was told")
    require(all(step.build_id == build_id for step in steps), "progress of another build")
    counts = [step.lines_done for step in steps]
    require(counts == sorted(counts), "progress went backwards")


RUNNING = (
    Check(
        name="program-once",
        says="a program runs to its end exactly once, and `beginning` comes before its first byte",
        run=program_once,
        needs=("program",),
    ),
    Check(
        name="second-refused",
        says="a second program is refused while one runs",
        run=second_refused,
        needs=("program", "long_program"),
    ),
    Check(
        name="pause-holds",
        says="pause returns only when the machine holds, and nothing is fed meanwhile",
        run=pause_holds,
        needs=("long_program",),
    ),
    Check(
        name="resume-goes-on",
        says="resume goes on where the program was",
        run=resume_goes_on,
        needs=("long_program",),
    ),
    Check(
        name="idle-refuses",
        says="pause, resume and cancel are refused when no program runs",
        run=idle_refuses,
    ),
    Check(
        name="cancel-ends",
        says="cancel ends the program, heat and tool go off, the next program runs",
        run=cancel_ends,
        needs=("program", "long_program"),
    ),
    Check(
        name="error-stops",
        says="an error of the machine fails the program at once; its words are kept",
        run=error_stops,
        needs=("long_program", "fail"),
    ),
    Check(
        name="refuses-bad",
        says="a forbidden, an empty or a missing program is refused before a byte is sent",
        run=refuses_bad,
        needs=("refused_program",),
    ),
    Check(
        name="heat-off",
        says="heat_off leaves no heater and no tool on",
        run=heat_off,
        needs=("program", "hot"),
    ),
)
