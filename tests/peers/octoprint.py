"""A real OctoPrint with its own virtual printer, on a port of loopback."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.peers.octoprint_environment import PYTHON

KEY = "0123456789ABCDEF0123456789ABCDEF"
PATIENCE_S = 120.0
CONFIG = f"""\
api: {{key: {KEY}}}
server:
  firstRun: false
  onlineCheck: {{enabled: false}}
  pluginBlacklist: {{enabled: false}}
plugins:
  _disabled: [achievements, action_command_notification, action_command_prompt, announcements,
    backup, discovery, errortracking, file_check, firmware_check, gcodeviewer, health_check,
    logging, pi_support, pluginmanager, softwareupdate, tracking]
  virtual_printer: {{enabled: true}}
serial: {{port: VIRTUAL, baudrate: 115200, autoconnect: true}}
"""


class RealOctoPrint:
    """Where it is, and what can be done to it past the driver."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._client = httpx.Client(
            base_url=self.url, headers={"X-Api-Key": KEY}, trust_env=False, timeout=30.0
        )

    def state(self) -> str:
        """Its connection's state; empty when it does not answer or is still starting."""
        try:
            answer = self._client.get("/api/connection")
        except httpx.HTTPError:
            return ""
        return str(answer.json()["current"]["state"]) if answer.is_success else ""

    def command(self, text: str) -> None:
        """A line to its printer; ``!!DEBUG:`` ones inject errors into the virtual one."""
        self._client.post("/api/printer/command", json={"command": text}).raise_for_status()

    def prints(self, name: str) -> dict[str, Any]:
        """How often a file was printed: ``success``, ``failure``, ``last``."""
        answer = self._client.get(f"/api/files/local/{name}")
        return dict(answer.raise_for_status().json().get("prints", {}))

    def close(self) -> None:
        """Ask no more."""
        self._client.close()


@contextmanager
def running(folder: Path) -> Iterator[RealOctoPrint]:
    """Start it in a folder of its own, wait for its printer, and end it."""
    (folder / "config.yaml").write_text(CONFIG)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["serve", "--iknowwhatimdoing", "--host", "127.0.0.1", "--port", str(port)]
    environment = {"HOME": str(folder), "LANG": "C.UTF-8", "PATH": os.defpath}
    log = folder / "said.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [PYTHON, "-m", "octoprint", *words, "--basedir", folder],
            cwd=folder,
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    octoprint = RealOctoPrint(port)
    try:
        give_up = time.monotonic() + PATIENCE_S
        while octoprint.state() != "Operational":
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"OctoPrint does not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield octoprint
    finally:
        octoprint.close()
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
