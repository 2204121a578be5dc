"""What systemd hears of a bridge that it starts."""

import asyncio
import configparser
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ops.hosting.service_manager import announced
from ops.settings import Settings

UNIT = Path(__file__).parents[2] / "ops/deploy/systemd/imewe-bridge.service"


async def test_a_service_is_ready_alive_as_long_as_its_loop_turns_and_says_goodbye(
    tmp_path: Path,
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        address = tmp_path / "n"
        manager.bind(str(address))
        manager.settimeout(20)
        given = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "200000", "HOME": str(tmp_path)}
        settings = Settings.from_environment(tmp_path, environment=given)
        assert settings.watchdog_s == 0.2

        async def hear() -> bytes:
            return await asyncio.to_thread(manager.recv, 100)

        async with announced(settings):
            assert await hear() == b"READY=1"
            assert await hear() == b"WATCHDOG=1"
            assert await hear() == b"WATCHDOG=1"
            drained(manager)
            time.sleep(0.5)  # noqa: ASYNC251 - a loop that hangs
            assert drained(manager) == []
        assert drained(manager)[-1] == b"STOPPING=1"


def drained(manager: socket.socket) -> list[bytes]:
    """What was said up to now."""
    heard = []
    manager.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            heard.append(manager.recv(100))
    manager.settimeout(20)
    return heard


async def test_nobody_is_told_without_systemd(tmp_path: Path) -> None:
    async with announced(Settings(home=tmp_path)):
        pass
    async with announced(Settings(home=tmp_path, notify_socket=str(tmp_path / "gone"))):
        pass


def test_the_unit_lets_the_watcher_outlive_the_bridge() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT.read_text())
    service = unit["Service"]
    assert (service["Type"], service["KillMode"]) == ("notify", "process")
    assert float(service["WatchdogSec"]) >= 10
    assert service["Restart"] == "always"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_itself_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    text = UNIT.read_text().replace("/opt/imewe/.venv/bin/imewe run bridge", "/bin/true")
    copy.write_text(text.replace("WorkingDirectory=/opt/imewe", "WorkingDirectory=/"))
    ended = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    told = [line for line in ended.stderr.splitlines() if UNIT.name in line and "User" not in line]
    assert told == []
