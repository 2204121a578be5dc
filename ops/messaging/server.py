"""The embedded nats-server: configuration, life cycle, port and credentials.

``sync_interval: always``: an acknowledged message is on the disk. The port is chosen once and
kept in the home, so that services and open clients find the server again after a restart.
"""

import json
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from ops.database.server import names_argument
from ops.hosting.account import Account, own_folder
from ops.hosting.binaries import nats_program
from ops.hosting.children import Child, Program
from ops.hosting.errors import HostingError
from ops.hosting.home import make_home, new_secret, read_note, write_private
from ops.hosting.units import ServerUnit
from ops.messaging.accounts import accounts, all_users
from ops.messaging.bridges import enrolled
from ops.settings import LEAST_STORE_BYTES, server_environment

MOST_STORED = 10 << 30
LEFTOVER_TIMEOUT_S = 30.0


class EmbeddedNats(ServerUnit):
    """One nats-server in ``home``, run as ``account`` (``None``: as ourselves).

    ``store_bytes`` bounds all its files; 0 means 10 GiB or nine tenths of the free space.
    """

    name = "nats"
    title = "nats-server"
    stop_s = 10.0

    def __init__(self, home: Path, account: Account | None = None, *, store_bytes: int = 0) -> None:
        super().__init__(home, account)
        self._store_bytes = store_bytes
        self._folder = home / "nats"
        self._port = 0
        self._bridges: dict[str, list[str]] = {}

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    @property
    def store_bytes(self) -> int:
        """The bound of all files, once it runs."""
        return self._room()

    @property
    def store(self) -> Path:
        """The folder whose disk must have space."""
        return self._folder

    def spawn(self) -> None:
        """Start without waiting. Main thread only."""
        make_home(self._home)
        program = nats_program(self._home, self._account)
        own_folder(self._folder, self._account)
        self._settle()
        kept = int(read_note(self._home / "nats.json").get("port", 0))
        self._port = kept if kept and _is_free(kept) else 0
        configuration = self._home / "nats.conf"
        write_private(configuration, self._configuration(), account=self._account)
        self._child = Child(
            Program(
                command=[str(program), "-c", str(configuration)],
                account=self._account,
                log=self.log,
                environment=server_environment(),
                stop_signal=signal.SIGTERM,
                death_signal=signal.SIGTERM,
                guarded=sys.platform != "linux",
            )
        )

    def is_ready(self) -> bool:
        """Whether it greets its clients; raises ``HostingError`` when it has ended."""
        self.demand_alive()
        if not self._port and not self._learn_port():
            return False
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=5) as client:
                return client.recv(5) == b"INFO "
        except OSError:
            return False

    def read_bridges(self) -> bool:
        """Let a running server read its users again when bridges were enrolled meanwhile.

        Nobody else's connection ends. True when there was something new.
        """
        if enrolled(self._home) == self._bridges or not self._port:
            return False
        path = self._home / "nats.conf"
        kept = json.loads(path.read_text())
        told = {**kept, "port": self._port, "accounts": self._accounts()}
        write_private(path, json.dumps(told, indent=1), account=self._account)
        for pid in self._server_pids():
            os.kill(pid, signal.SIGHUP)
        return True

    def _server_pids(self) -> list[int]:
        """The server's own pid, also where a guard stands between."""
        configuration = str(self._home / "nats.conf")
        found = [int(path.stem.rsplit("_", 1)[1]) for path in self._folder.glob("*.ports")]
        return [pid for pid in found if names_argument(pid, configuration)]

    def _accounts(self) -> dict[str, Any]:
        self._bridges = enrolled(self._home)
        return accounts(credentials(self._home), self._bridges)

    def _configuration(self) -> str:
        return json.dumps(
            {
                "server_name": "imewe",
                "host": "127.0.0.1",
                "port": self._port or -1,
                "ports_file_dir": str(self._folder),
                "max_payload": 1 << 20,
                "jetstream": {
                    "store_dir": str(self._folder / "js"),
                    "max_memory_store": 64 << 20,
                    "max_file_store": self._room(),
                    "sync_interval": "always",
                },
                "accounts": self._accounts(),
            },
            indent=1,
        )

    def _room(self) -> int:
        if self._store_bytes:
            return self._store_bytes
        if kept := int(read_note(self._home / "nats.json").get("store_bytes", 0)):
            return kept
        free = shutil.disk_usage(self._folder).free
        return max(LEAST_STORE_BYTES, min(MOST_STORED, free * 9 // 10))

    def _learn_port(self) -> bool:
        """The server writes where it listens into a file named after itself and its pid."""
        for path in self._folder.glob("*.ports"):
            try:
                addresses = json.loads(path.read_text())["nats"]
            except (ValueError, KeyError, FileNotFoundError):
                return False  # not written yet
            self._port = int(addresses[0].rsplit(":", 1)[1])
            note = {"port": self._port, "store_bytes": self._room()}
            write_private(self._home / "nats.json", json.dumps(note))
            return True
        return False

    def _settle(self) -> None:
        """Wait for a server that a killed supervisor left, then drop its port files."""
        deadline = time.monotonic() + LEFTOVER_TIMEOUT_S
        configuration = str(self._home / "nats.conf")
        for path in self._folder.glob("*.ports"):
            pid = int(path.stem.rsplit("_", 1)[1])
            while names_argument(pid, configuration):
                if time.monotonic() > deadline:
                    raise HostingError(f"an earlier nats-server (pid {pid}) does not end")
                os.kill(pid, signal.SIGTERM)
                time.sleep(0.05)
            path.unlink(missing_ok=True)


def credentials(home: Path) -> dict[str, str]:
    """``{user: password}`` of this home; makes what is missing."""
    path = home / "credentials.json"
    known = read_note(path)
    missing = [name for name in all_users(enrolled(home)) if name not in known]
    if missing:
        known |= {name: new_secret() for name in missing}
        write_private(path, json.dumps(known))
    return known


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
