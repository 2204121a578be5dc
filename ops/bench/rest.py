"""What the whole system costs when nothing is to be done: memory and processor."""

import time
from pathlib import Path

import psutil

from ops.bench.result import BenchResult, Figure
from ops.cli.client import Client
from ops.demo.shop import furnish
from ops.demo.system import Running, running
from ops.settings import Settings

SETTLE_S = 30.0
WATCH_S = 20.0
ROUNDS = 3
MEMORY_MB = 500.0
CPU_PERCENT = 5.0


def run(folder: Path) -> list[BenchResult]:
    """The demo's machines are connected, no job is there. Proportional set size (shared pages
    counted once) and processor time of every process, in percent of one core."""
    with running(Settings.from_environment(folder / "home")) as system:
        with Client.signed_in(system.url, mail=system.mail, password=system.password) as portal:
            furnish(portal, system.home)
        system.open_shop()
        return [_watch(system)]


def _watch(system: Running) -> BenchResult:
    time.sleep(SETTLE_S)
    memory, cpu = [], []
    for _ in range(ROUNDS):
        before, begun = _cpu_s(system), time.monotonic()
        time.sleep(WATCH_S)
        cpu.append(100 * (_cpu_s(system) - before) / (time.monotonic() - begun))
        memory.append(sum(_pss_mb(process) for process in system.processes()))
    shares = sorted(
        ((_pss_mb(process), _word(process)) for process in system.processes()), reverse=True
    )
    return BenchResult(
        name="at rest",
        what="Servers, services and four virtual machines, all connected, no job.",
        figures=[
            Figure(label="memory (proportional set size)", unit="MB", runs=memory),
            Figure(label="processor", unit="% of one core", runs=cpu),
        ],
        goal=f"under {MEMORY_MB:.0f} MB and {CPU_PERCENT:.0f} % of one core",
        met=max(memory) < MEMORY_MB and max(cpu) < CPU_PERCENT,
        notes=[", ".join(f"{word} {mb:.0f} MB" for mb, word in shares[:9])],
    )


def _cpu_s(system: Running) -> float:
    total = 0.0
    for process in system.processes():
        times = process.cpu_times()
        total += times.user + times.system
    return total


def _pss_mb(process: psutil.Process) -> float:
    return float(process.memory_full_info().pss) / 1e6


def _word(process: psutil.Process) -> str:
    line = process.cmdline()
    return line[line.index("run") + 1] if "run" in line else process.name()
