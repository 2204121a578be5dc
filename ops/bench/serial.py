"""Lines per second on one Marlin port, one line in flight, beside printrun's printcore; and a wire
that loses and damages lines.

The printer answers as fast as Python can, in a process of its own; its answers carry no numbers and
no buffers, so both senders wait for every ``ok``. They take turns in one run.
"""

import asyncio
import json
import sys
from pathlib import Path
from time import perf_counter

from device_bridge.drivers.marlin import MarlinPrinter
from device_bridge.protocols import JobSpec
from device_bridge.transports.serial import SerialTransport
from ops.bench.result import BenchResult, Figure
from ops.bench.serial_printer import FAST_PRINTER, lossy
from ops.bench.streaming import (
    PEERS,
    environment,
    our_seconds,
    printcore_seconds,
    printer_process,
)

GOAL = 3.0
LOSSES = 0.01
REPLY_S = 0.25
"""How long an answer may take on the bad wire before the line is sent again; 6 s by default, which
would only make the run longer: each of its losses costs as much."""
STALLED_S = 600.0


def run(
    folder: Path, *, rounds: int = 5, lines: int = 3000, bad_lines: int = 8000
) -> list[BenchResult]:
    """Measure in ``folder``; the first round of each sender warms up and does not count."""
    folder.mkdir(parents=True, exist_ok=True)
    rival = environment(folder / "printcore", PEERS["printcore"])
    return [_duel(folder, rival, rounds=rounds, lines=lines), bad_wire(folder, bad_lines)]


def _duel(folder: Path, rival: str, *, rounds: int, lines: int) -> BenchResult:
    program = _program(folder / "program.gcode", lines)
    printer = (sys.executable, FAST_PRINTER)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds + 1):
        with printer_process(folder, printer) as port:
            ours.append(lines / asyncio.run(our_seconds(port, program)))
        if rival:
            with printer_process(folder, printer) as port:
                theirs.append(lines / printcore_seconds(rival, port, program))
    figures = [Figure(label="Imewe", unit="lines/s", runs=ours[1:])]
    if theirs:
        figures.append(Figure(label="printcore", unit="lines/s", runs=theirs[1:]))
    ratio = figures[0].median / figures[1].median if theirs else None
    return BenchResult(
        name="serial",
        what=f"{lines:,} numbered lines that move nothing over one pty, one in flight, to a printer"
        " that answers at once; senders in turn.",
        figures=figures,
        goal=f"at least {GOAL:g}x printcore's lines/s",
        met=ratio is not None and ratio >= GOAL,
        ratio=ratio,
        notes=() if rival else ("printcore could not be installed here",),
    )


def bad_wire(folder: Path, lines: int) -> BenchResult:
    """One program over a wire that loses 1 % of its lines. Raises ``TimeoutError`` on a stall."""
    program = _program(folder / "bad.gcode", lines)
    with printer_process(folder, (sys.executable, lossy(LOSSES))) as port:
        seconds = asyncio.run(_survive(port, program))
        counts: dict[str, int] = json.loads((port.parents[1] / "counts.json").read_text())
    hurt = counts["lost"] + counts["damaged"] + counts["unanswered"]
    wrong = counts["wrong"] + abs(lines - counts["taken"])
    return BenchResult(
        name="serial, bad wire",
        what=f"{lines:,} lines, {LOSSES:.0%} of them lost on the way, damaged or not answered.",
        figures=[
            Figure(label="lines taken", unit="lines", runs=[counts["taken"]]),
            Figure(label="of these double or out of order", unit="lines", runs=[wrong]),
            Figure(label="incidents survived", unit="incidents", runs=[hurt]),
            Figure(label="time", unit="s", runs=[seconds]),
        ],
        goal="no stall and no lost line",
        met=wrong == 0 and hurt > 0,
        notes=[
            f"{counts['lost']} lines lost, {counts['damaged']} damaged, {counts['unanswered']}"
            f" answers lost; an answer is missed after {REPLY_S} s here, 6 s in use",
        ],
    )


async def _survive(port: Path, program: Path) -> float:
    """Seconds for a program that must end as finished. Raises ``TimeoutError`` on a stall."""
    driver = MarlinPrinter(SerialTransport(str(port)), reply_s=REPLY_S)
    await driver.connect()
    try:
        begun = perf_counter()
        handle = await driver.execute_job(JobSpec(build_id="bench", program=program))
        result = await asyncio.wait_for(handle.result, STALLED_S)
        taken = perf_counter() - begun
    finally:
        await driver.disconnect()
    if result.outcome != "finished":
        raise RuntimeError(f"our driver: {result.reason} {result.native_text}")
    return taken


def _program(path: Path, lines: int) -> Path:
    """Every line says which one it is."""
    path.write_text("".join(f"G92 E{number}\n" for number in range(1, lines + 1)))
    return path
