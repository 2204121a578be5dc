"""Checks of the emergency stop: at once, whatever the machine does, until a person clears it."""

from collections.abc import Callable
from time import monotonic

from device_bridge.certify.bench import PERSON, Bench, CheckFailedError, require, until
from device_bridge.certify.check import Check
from device_bridge.errors import DeviceError, EmergencyLatchedError
from device_bridge.protocols import EStopReceipt
from domain.node.states import EmergencyStop

STOP_MS = 100.0
ATTEMPTS = 3
"""A loaded computer may spoil one measurement; a driver that queues its stop fails them all."""
FLOOD_S = 5.0
AWAY_S = 10.0


async def stop_while_blocked(bench: Bench) -> str:
    """While the machine is busy with one long command (homing, heating)."""
    return await _stopped_in_time(bench, bench.peer.blocking_program)


async def stop_under_flood(bench: Bench) -> str:
    """While the machine floods the link with readings."""
    return await _stopped_in_time(bench, bench.peer.long_program, flood=bench.peer.flood)


async def stop_ends_program(bench: Bench) -> str:
    """The program that ran is over, and not finished; heat and tool are off."""
    handle = await bench.begin(bench.peer.long_program)
    await bench.driver.emergency_stop()
    result = await bench.end(handle)
    require(result.outcome in {"failed", "unknown"}, f"{result.outcome} after an emergency stop")
    if bench.peer.hot is not None:
        await until(lambda: not bench.hot(), "heat and tool off", within_s=5.0)
    return f"{result.outcome}, {result.reason}"


async def stop_latches(bench: Bench) -> str:
    """Nothing runs until a person clears it; a second stop is the same stop."""
    await bench.driver.connect()
    first = await bench.driver.emergency_stop()
    require(_triggered(bench), "not TRIGGERED after an emergency stop")
    require((await bench.driver.emergency_stop()).confirmed == first.confirmed, "another answer")
    await _latched(bench, "a program")
    await bench.driver.disconnect()
    require(_triggered(bench), "the stop was forgotten at the disconnect")
    await _latched(bench, "a connection")
    try:
        await bench.driver.clear_fault("")
    except DeviceError:
        pass
    else:
        raise CheckFailedError("cleared by nobody")
    await bench.driver.clear_fault(PERSON)
    require(not _triggered(bench), "still TRIGGERED when a person cleared it")
    return "latched over a disconnect, cleared by a person"


async def stop_disconnected(bench: Bench) -> str:
    """Without a link no stop is confirmed, and that is said at once."""
    if bench.peer.unplug is not None:
        bench.peer.unplug(AWAY_S)  # a driver may have a way of its own for a stop
    started = monotonic()
    try:
        receipt = await bench.driver.emergency_stop()
    except DeviceError as refusal:
        text = refusal.message
    else:
        require(not receipt.confirmed, "a stop was confirmed by a machine that is not there")
        text = receipt.native_text
    require(text.strip(), "nothing is said")
    require(monotonic() - started < 3.0, "the answer took more than 3 s")
    return text[:60]


async def _stopped_in_time(
    bench: Bench, program: str, *, flood: Callable[[float], None] | None = None
) -> str:
    times: list[float] = []
    await bench.driver.connect()
    for _ in range(ATTEMPTS):
        await bench.driver.execute_job(bench.job(program))
        if flood is not None:
            flood(FLOOD_S)
        await bench.settle()
        started = monotonic()
        receipt = await bench.driver.emergency_stop()
        times.append((monotonic() - started) * 1000)
        _confirmed(bench, receipt)
        if times[-1] <= STOP_MS:
            return f"{times[-1]:.1f} ms"
        await bench.driver.clear_fault(PERSON)
    raise CheckFailedError(", ".join(f"{ms:.0f} ms" for ms in times))


def _confirmed(bench: Bench, receipt: EStopReceipt) -> None:
    require(receipt.confirmed, f"not confirmed: {receipt.native_text}")
    require(_triggered(bench), "not TRIGGERED after an emergency stop")


def _triggered(bench: Bench) -> bool:
    return bench.driver.get_status().emergency_stop is EmergencyStop.TRIGGERED


async def _latched(bench: Bench, what: str) -> None:
    try:
        if what == "a program":
            await bench.driver.execute_job(bench.job(bench.peer.program))
        else:
            await bench.driver.connect()
    except EmergencyLatchedError:
        return
    except DeviceError as other:
        raise CheckFailedError(f"{what} is refused as {other.code}, not as latched") from other
    raise CheckFailedError(f"{what} was taken while the stop is latched")


STOPPING = (
    Check(
        name="stop-while-blocked",
        says="an emergency stop is answered within 100 ms while the machine homes or heats",
        run=stop_while_blocked,
        needs=("blocking_program",),
    ),
    Check(
        name="stop-under-flood",
        says="an emergency stop is answered within 100 ms while telemetry floods the link",
        run=stop_under_flood,
        needs=("long_program", "flood"),
    ),
    Check(
        name="stop-ends-program",
        says="an emergency stop ends the program, heat and tool go off",
        run=stop_ends_program,
        needs=("long_program",),
    ),
    Check(
        name="stop-latches",
        says="an emergency stop is latched, over a disconnect too, until a person clears it",
        run=stop_latches,
        needs=("program",),
    ),
    Check(
        name="stop-disconnected",
        says="a stop without a link is never confirmed, and says so at once",
        run=stop_disconnected,
        moves=False,
    ),
)
