"""Three nats-servers on this machine, for what three replicas cost. Loopback, no users."""

import json
import socket
import time
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

from ops.eventstore.client import Client, JetStreamError, NoRespondersError
from ops.eventstore.streams import LogNames, events_config, snapshots_config
from ops.eventstore.wire import Address, ConnectionLostError, NoAnswerError
from ops.hosting.account import own_folder, server_account
from ops.hosting.binaries import nats_program
from ops.hosting.children import Child, Program
from ops.hosting.home import make_home
from ops.settings import server_environment

SERVERS = 3
START_S = 60.0


class Cluster:
    """Servers with the streams of one log on all of them. Use as a context."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._children: list[Child] = []
        self._ports = [_free_port() for _ in range(2 * SERVERS)]

    @property
    def address(self) -> Address:
        """Where the first server listens."""
        return Address(host="127.0.0.1", port=self._ports[0], user="", password="")

    def __enter__(self) -> Self:
        make_home(self._home)
        account = server_account()
        program = nats_program(self._home, account)
        for number in range(SERVERS):
            folder = self._home / f"server-{number}"
            own_folder(folder, account)
            configuration = self._home / f"server-{number}.json"
            configuration.write_text(json.dumps(self._configuration(number, folder)))
            configuration.chmod(0o644)
            self._children.append(
                Child(
                    Program(
                        command=[str(program), "-c", str(configuration)],
                        account=account,
                        log=self._home / "logs" / f"server-{number}.log",
                        environment=server_environment(),
                    )
                )
            )
        self._make_streams()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for child in self._children:
            child.begin_stop()
        for child in self._children:
            child.finish_stop(10)

    def _configuration(self, number: int, folder: Path) -> dict[str, object]:
        routes = self._ports[SERVERS:]
        return {
            "server_name": f"bench-{number}",
            "host": "127.0.0.1",
            "port": self._ports[number],
            "jetstream": {"store_dir": str(folder), "sync_interval": "always"},
            "cluster": {
                "name": "bench",
                "host": "127.0.0.1",
                "port": routes[number],
                "routes": [f"nats-route://127.0.0.1:{port}" for port in routes],
            },
        }

    def _make_streams(self) -> None:
        """As soon as the servers have found each other."""
        until = time.monotonic() + START_S
        names = LogNames()
        configs = [events_config(names, replicas=SERVERS), snapshots_config(names)]
        while True:
            try:
                with closing(Client(self.address)) as client:
                    for config in configs:
                        client.api(f"STREAM.CREATE.{config['name']}", config)
                return
            except (JetStreamError, NoRespondersError, ConnectionLostError, NoAnswerError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
