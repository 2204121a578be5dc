"""An event is on the disk before anybody is told that it is recorded: seen from outside."""

import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from ops.messaging.server import EmbeddedNats
from ops.settings import Settings
from tests.eventlog import OwnLog, fact, own_log

APPENDS = 60
LONG_APPENDS = 2000
WATCHED = "trace=write,pwrite64,writev,fsync,fdatasync"


class Watcher:
    """strace on a running server, every line in ``calls``."""

    def __init__(self, strace: str, pid: int, output: Path) -> None:
        how = ["-f", "-y", "-s", "400", "-e", WATCHED, "-o", str(output), "-p", str(pid)]
        self._output = output
        self._strace = subprocess.Popen([strace, *how], stderr=subprocess.PIPE, text=True)
        assert self._strace.stderr is not None
        said = self._strace.stderr.readline()
        if "not permitted" in said:
            self.stop()
            pytest.skip("this machine lets nobody watch another process")
        assert "attached" in said, said

    def stop(self) -> list[str]:
        """Let the server alone again; what was seen."""
        self._strace.send_signal(signal.SIGINT)
        self._strace.communicate(timeout=60)
        return self._output.read_text().splitlines()


@pytest.fixture
def log(fresh_nats: EmbeddedNats, fresh_settings: Settings) -> Iterator[OwnLog]:
    with own_log(fresh_nats, fresh_settings) as log:
        yield log


def test_every_acknowledgement_comes_after_a_write_and_a_sync_of_its_event(
    log: OwnLog,
    fresh_nats: EmbeddedNats,
    tmp_path: Path,
    require_or_skip: Callable[[str], str],
    long_tests: bool,
) -> None:
    recorder, job = log.factory().application_recorder(), uuid4()
    recorder.insert_events([fact(job, 1)])
    appends = LONG_APPENDS if long_tests else APPENDS
    assert fresh_nats.pid is not None
    watcher = Watcher(require_or_skip("strace"), fresh_nats.pid, tmp_path / "calls")
    for version in range(2, appends + 2):
        recorder.insert_events([fact(job, version)])
    told = _steps(
        watcher.stop(), log.names.stream
    )  # a log of one aggregate: version and sequence agree
    for version in range(2, appends + 2):
        written = told.index(("written", str(version)))
        synced = told.index(("synced", ""), written)
        answered = told.index(("answered", str(version)))
        assert written < synced < answered, (version, told[written : answered + 1])
    assert [step for step, _ in told].count("synced") >= appends


def _steps(calls: list[str], stream: str) -> list[tuple[str, str]]:
    """``written`` with the version, ``synced``, and ``answered`` with the sequence, in order.

    Only the log's own blocks count; a sync when it has ended, an answer when it begins.
    """
    own = f"/{stream}/msgs/"
    steps: list[tuple[str, str]] = []
    syncing: set[str] = set()
    for line in calls:
        thread, _, call = line.partition(" ")
        call = call.strip()
        if call.startswith(("fsync(", "fdatasync(")) and own in call:
            if "unfinished" in call:
                syncing.add(thread)
            elif call.endswith("= 0"):
                steps.append(("synced", ""))
        elif re.match(r"<\.\.\. f(data)?sync resumed>", call):
            if thread in syncing and call.endswith("= 0"):
                steps.append(("synced", ""))
            syncing.discard(thread)
        elif re.match(r"p?write(64|v)?\(", call):
            steps += _write(call, own, stream)
    return steps


def _write(call: str, own: str, stream: str) -> list[tuple[str, str]]:
    if own in call:
        return [("written", version) for version in re.findall(r"Imewe-Version:(\d+)", call)]
    if stream in call:
        return [("answered", number) for number in re.findall(r'\\"seq\\": ?(\d+)', call)]
    return []
