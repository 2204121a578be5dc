"""Streaming G-code over a pty: our Marlin driver against printrun's printcore, same file.

Two printers, each in a process of its own: OctoPrint's virtual printer and our virtual machine.
The senders take turns. No line moves anything (``G92 E``), so that the protocol is measured. The
peers are installed into environments of their own below ``folder``; what cannot be installed is
left out and said so.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from device_bridge.drivers.marlin import MarlinPrinter
from device_bridge.protocols import JobSpec
from device_bridge.transports.serial import SerialTransport
from ops.bench.result import BenchResult, Figure
from ops.bench.streaming_peers import OCTOPRINT_PRINTER, OUR_PRINTER, PRINTCORE_SENDER

GOAL = 1.0
READY_S = 60.0
PEERS = {"printcore": ("--no-deps", "printrun", "pyserial"), "octoprint": ("octoprint",)}


def run(folder: Path, *, rounds: int = 5, lines: int = 1500) -> list[BenchResult]:
    """Measure in ``folder``; the first round of each sender warms up and does not count."""
    program = folder / "program.gcode"
    folder.mkdir(parents=True, exist_ok=True)
    program.write_text("".join(f"G92 E{number / 100:.2f}\n" for number in range(lines)))
    pythons = {name: environment(folder / name, wanted) for name, wanted in PEERS.items()}
    printers = {"our virtual printer": (sys.executable, OUR_PRINTER)}
    notes = ["OctoPrint's virtual printer runs without its 10 ms throttle and planned errors."]
    notes += [f"{name} could not be installed here" for name, found in pythons.items() if not found]
    if octoprint := pythons["octoprint"]:
        printers = {"OctoPrint's virtual printer": (octoprint, OCTOPRINT_PRINTER), **printers}
    figures: list[Figure] = []
    for label, (python, script) in printers.items():
        figures += _duel(
            label, folder, program, printer=(python, script), rival=pythons["printcore"],
            rounds=rounds, lines=lines,
        )  # fmt: skip
    return [_result(figures, notes)]


def _duel(
    label: str,
    folder: Path,
    program: Path,
    *,
    printer: tuple[str, str],
    rival: str,
    rounds: int,
    lines: int,
) -> list[Figure]:
    """Lines per second of both senders on one printer, which is new for each turn."""
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds + 1):
        with printer_process(folder, printer) as port:
            ours.append(lines / asyncio.run(our_seconds(port, program)))
        if rival:
            with printer_process(folder, printer) as port:
                theirs.append(lines / printcore_seconds(rival, port, program))
    found = [Figure(label=f"Imewe to {label}", unit="lines/s", runs=ours[1:])]
    if theirs:
        found.append(Figure(label=f"printcore to {label}", unit="lines/s", runs=theirs[1:]))
    return found


async def our_seconds(port: Path, program: Path) -> float:
    """Seconds from the first line to the last acknowledgement."""
    driver = MarlinPrinter(SerialTransport(str(port)))
    await driver.connect()
    try:
        begun = time.perf_counter()
        handle = await driver.execute_job(JobSpec(build_id="bench", program=program))
        result = await asyncio.wait_for(handle.result, 300)
        taken = time.perf_counter() - begun
    finally:
        await driver.disconnect()
    if result.outcome != "finished":
        raise RuntimeError(f"our driver: {result.reason} {result.native_text}")
    return taken


def printcore_seconds(python: str, port: Path, program: Path) -> float:
    command = [python, "-c", PRINTCORE_SENDER, str(port), str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    if done.returncode:
        raise RuntimeError(f"printcore: {done.stderr[-400:]}")
    return float(done.stdout.split()[-1])


@contextmanager
def printer_process(folder: Path, printer: tuple[str, str]) -> Iterator[Path]:
    """A new printer in a process of its own, and its port."""
    own = Path(tempfile.mkdtemp(dir=folder))
    python, script = printer
    process = subprocess.Popen(
        [python, "-c", script, str(own)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        if process.stdout is None or process.stdout.readline().strip() != "ready":
            raise RuntimeError("the printer did not start")
        yield own / "dev" / "printer"
    finally:
        process.kill()
        process.communicate()


def environment(folder: Path, wanted: tuple[str, ...]) -> str:
    """A Python with the wanted distributions, or nothing where they cannot be had."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", *wanted]
    done = subprocess.run(install, capture_output=True, check=False)
    return str(python) if done.returncode == 0 else ""


def _result(figures: list[Figure], notes: list[str]) -> BenchResult:
    ratio = figures[0].median / figures[1].median if len(figures) > 1 else None
    return BenchResult(
        name="Marlin streaming",
        what="One program of lines that move nothing, over a pty, senders in turn.",
        figures=figures,
        goal=f"at least {GOAL:.0f}x printcore's lines/s, same printer",
        met=ratio is not None and ratio >= GOAL,
        ratio=ratio,
        notes=notes,
    )
