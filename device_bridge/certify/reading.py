"""Checks of every driver: who it is, what it says, how it takes nonsense. Nothing moves."""

import asyncio
import itertools
import json
import math
import random

from device_bridge.certify.bench import Bench, require, until
from device_bridge.certify.check import Applies, Check
from device_bridge.errors import DeviceError, UnsupportedError
from device_bridge.protocols import DeviceStatus, Sampled, StatusChanged
from domain.node.states import Availability, ConditionLevel, EmergencyStop, Execution
from domain.telemetry.channels import unit_of

FIRST_SAMPLE_S = 15.0
PIECE = 8192
NONSENSE = (
    b"ok N99999999999999 P-1 B\xff\nResend: x\nerror:\nALARM:\n<|>\n<Idle|MPos:nan,inf>\n",
    b"T:1e999 /nan B: /\nX:-- Y:. Z:\nCap:\nFIRMWARE_NAME:\n[OPT:,,]\n[VER:]\n$=\n",
    b'{"jsonrpc": "2.0", "method": 7}\n[[[[[[\nnull\n{"state": [], "error": {}}\n\x00\x00\n',
)


async def identity(bench: Bench) -> str:
    """Connecting moves nothing and says who answered."""
    found = await bench.driver.connect()
    require(found.firmware.strip(), "the identity names no firmware")
    require(found.dialect.strip(), "the identity names no dialect")
    for name, value in found.capabilities.items():
        require(isinstance(value, bool | int | float | str), f"capability {name} is {value!r}")
    json.dumps(found.as_json(), allow_nan=False)
    require(bench.starts() == 0, "the machine moved when it was connected")
    return f"{found.firmware}, {len(found.capabilities)} capabilities"


async def status_words(bench: Bench) -> str:
    """Every status is in MTConnect's words; without a link the machine is UNAVAILABLE."""
    gone = bench.driver.get_status()
    require(gone.availability is Availability.UNAVAILABLE, "available before it was connected")
    await bench.driver.connect()
    here = bench.driver.get_status()
    require(here.availability is Availability.AVAILABLE, "not available once connected")
    require(here.emergency_stop is EmergencyStop.ARMED, "stopped once connected")
    await bench.driver.disconnect()
    left = bench.driver.get_status()
    require(left.availability is Availability.UNAVAILABLE, "still available when disconnected")
    told = [event.status for event in bench.told if isinstance(event, StatusChanged)]
    for status in (gone, here, left, *told):
        _in_words(status)
    for one, next_one in itertools.pairwise(told):
        require(one != next_one, "the same status was told twice")
    require(here in told, "becoming available was not told")
    return f"{len(told)} changes told"


async def telemetry_names(bench: Bench) -> str:
    """Readings carry canonical names that say their unit, and are finite numbers."""
    await bench.driver.connect()
    await until(
        lambda: bool(bench.driver.get_telemetry().metrics), "a reading", within_s=FIRST_SAMPLE_S
    )
    samples = [event.sample.metrics for event in bench.told if isinstance(event, Sampled)]
    seen: set[str] = set()
    for metrics in (bench.driver.get_telemetry().metrics, *samples):
        for name, value in metrics.items():
            require(unit_of(name), f"{name} says no unit")
            number = isinstance(value, int | float) and not isinstance(value, bool)
            require(number and math.isfinite(value), f"{name} is {value!r}")
            seen.add(name)
    return ", ".join(sorted(seen)[:6]) + (" ..." if len(seen) > 6 else "")


async def telemetry_absent(bench: Bench) -> str:
    """What was not read is absent, never 0: before a link there is no reading at all."""
    early = bench.driver.get_telemetry().metrics
    invented = [name for name in early if not name.startswith("comm.")]
    require(not invented, f"{', '.join(invented)} before anything was read")
    return "nothing before the first answer"


async def nonsense(bench: Bench) -> str:
    """Binary, endless and malformed input ends the link at worst; afterwards all is well."""
    await bench.driver.connect()
    said = await _babble(bench)
    await bench.driver.disconnect()
    await bench.driver.connect()
    _in_words(bench.driver.get_status())
    require(
        bench.driver.get_status().availability is Availability.AVAILABLE,
        "not available after nonsense and a new connection",
    )
    return f"{said} bytes, then connected anew"


async def nonsense_running(bench: Bench) -> str:
    """The same in the middle of a program: whatever becomes of it, nothing crashes."""
    handle = await bench.begin(bench.peer.long_program)
    said = await _babble(bench)
    if not handle.result.done():
        return f"{said} bytes, the program runs on"
    result = handle.result.result()
    require(result.outcome in {"failed", "unknown"}, f"{result.outcome} after nonsense")
    return f"{said} bytes, the program {result.outcome}: {result.reason}"


async def _babble(bench: Bench) -> int:
    """Say it in pieces, so that none is lost on a narrow wire."""
    say = bench.peer.babble
    dice = random.Random(4)
    words = (*NONSENSE, dice.randbytes(20_000), b"x" * 100_000, b"\n")
    said = 0
    for word in words:
        for start in range(0, len(word), PIECE):
            if say is not None:
                say(word[start : start + PIECE])
            said += len(word[start : start + PIECE])
            await asyncio.sleep(0.005)
            _in_words(bench.driver.get_status())
    await bench.settle()
    return said


async def gives_back(bench: Bench) -> str:
    """After a disconnect the machine is free for the next host; twice does no harm."""
    await bench.driver.connect()
    await bench.driver.disconnect()
    await bench.driver.disconnect()
    await bench.another().connect()
    return "another driver connected"


async def only_reads(bench: Bench) -> str:
    """A driver that only reads says so to whoever wants more."""
    await bench.driver.connect()
    refused = 0
    asked = (
        lambda: bench.driver.execute_job(bench.job("G4 P1\n")),
        bench.driver.pause,
        bench.driver.resume,
        bench.driver.cancel,
    )
    for ask in asked:
        try:
            await ask()
        except UnsupportedError:
            refused += 1
        except DeviceError as other:
            require(False, f"{other.code} instead of {UnsupportedError.code}")
    require(refused == len(asked), f"{len(asked) - refused} of {len(asked)} requests were taken")
    return "programs, pause, resume and cancel are refused"


def _in_words(status: DeviceStatus) -> None:
    require(isinstance(status.availability, Availability), f"{status.availability!r}")
    require(isinstance(status.execution, Execution), f"{status.execution!r}")
    require(isinstance(status.emergency_stop, EmergencyStop), f"{status.emergency_stop!r}")
    for condition in status.conditions:
        require(isinstance(condition.level, ConditionLevel), f"{condition.level!r}")
        require(condition.type and condition.code, f"a condition without type or code: {condition}")


READING = (
    Check(
        name="identity",
        says="connecting moves nothing and tells firmware and capabilities",
        run=identity,
        applies=Applies.ALL,
        moves=False,
    ),
    Check(
        name="status-words",
        says="states are MTConnect's words, told once each; no link is UNAVAILABLE",
        run=status_words,
        applies=Applies.ALL,
        moves=False,
    ),
    Check(
        name="telemetry-names",
        says="readings have canonical names with a unit and are finite numbers",
        run=telemetry_names,
        applies=Applies.ALL,
        moves=False,
    ),
    Check(
        name="telemetry-absent",
        says="what was not read is absent, never 0",
        run=telemetry_absent,
        applies=Applies.ALL,
        moves=False,
    ),
    Check(
        name="nonsense",
        says="binary, endless and malformed input from the machine crashes nothing",
        run=nonsense,
        applies=Applies.ALL,
        needs=("babble",),
        moves=False,
    ),
    Check(
        name="nonsense-running",
        says="the same in the middle of a program",
        run=nonsense_running,
        needs=("babble", "long_program"),
    ),
    Check(
        name="gives-back",
        says="a disconnect frees the machine for the next host",
        run=gives_back,
        applies=Applies.ALL,
        moves=False,
    ),
    Check(
        name="only-reads",
        says="a driver that only reads refuses programs, pause, resume and cancel as unsupported",
        run=only_reads,
        applies=Applies.READ_ONLY,
        moves=False,
    ),
)
