"""How long a newcomer waits: `imewe demo --once` on a warm machine, start to end."""

import json
import subprocess
import sys
import time
from pathlib import Path

from ops.bench.result import BenchResult, Figure

ROUNDS = 3
LIMIT_S = 60.0


def run(folder: Path) -> list[BenchResult]:
    """Whole runs in fresh homes, servers' first start included."""
    seconds, statuses = [], []
    for number in range(ROUNDS):
        home = str(folder / f"home-{number}")
        demo = ["demo", "--once", "--json", "--home", home]
        begun = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "ops.cli.main", *demo], stdout=subprocess.PIPE, check=True
        )
        seconds.append(time.monotonic() - begun)
        statuses.append(json.loads(ended.stdout)["status"])
    return [
        BenchResult(
            name="demo",
            what="`imewe demo --once`: four parts on virtual machines, one made again.",
            figures=[Figure(label="start to end", unit="s", runs=seconds)],
            goal=f"under {LIMIT_S:.0f} s",
            met=max(seconds) < LIMIT_S and set(statuses) == {"COMPLETED"},
        )
    ]
