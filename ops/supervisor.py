"""``imewe up``: the embedded servers and our services on one machine, kept running.

Everything is a child of this process and dies with it. Order of start: nats-server, streams,
PostgreSQL, migrations, services, what these must prepare for; of stop: the reverse, within ten
seconds.
"""

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import structlog
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ops.database.connection import conninfo
from ops.database.server import EmbeddedPostgres
from ops.hosting.account import server_account
from ops.hosting.entrance import first_admin, gateway_url, settle_http_port
from ops.hosting.errors import HostingError
from ops.hosting.home import held, make_home
from ops.hosting.units import ServiceProcess, Unit, service_command
from ops.messaging.connection import connect, nats_url
from ops.messaging.server import EmbeddedNats
from ops.messaging.services import ping_all
from ops.messaging.space import StorageWatch
from ops.prepare import prepare_database, prepare_streams
from ops.settings import Settings

SERVICES = ("commands", "processes", "projections", "notary", "bridge", "gateway")
"""In the order of their start; they stop in the reverse order."""
SHORTEST_WAIT_S = 0.2
LONGEST_WAIT_S = 10.0
HEALTHY_AFTER_S = 30.0
STOP_SERVICES_S = 4.5
STOP_SERVERS_S = 2.2
WATCH_EVERY_S = 2.0
BRIDGES_EVERY_S = 0.5
PING_S = 0.1

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What ``imewe up --json`` prints. ``database`` is without its password."""

    url: str
    graphql: str
    nats: str
    database: str
    home: str
    admin: dict[str, str]


class Backoff:
    """How long to wait before a program that ended is started again: 0.2 s, doubled up to 10 s."""

    def __init__(self) -> None:
        self._next = SHORTEST_WAIT_S

    def after(self, lived_s: float) -> float:
        """Seconds to wait; a program that ran for 30 s begins anew."""
        if lived_s >= HEALTHY_AFTER_S:
            self._next = SHORTEST_WAIT_S
        wait, self._next = self._next, min(self._next * 2, LONGEST_WAIT_S)
        return wait


class Supervisor:
    """Starts, watches, restarts and stops. Use ``run`` from the main thread.

    ``announce`` is called once, when the gateway answers. ``services`` are the units to run
    besides the servers, in the order of their start.
    """

    def __init__(
        self,
        settings: Settings,
        services: Sequence[ServiceProcess],
        announce: Callable[[Ready], None],
    ) -> None:
        account = server_account(settings.server_account)
        self._settings = settings
        self._announce = announce
        self._services = list(services)
        self._nats = (
            None
            if settings.nats_url
            else EmbeddedNats(settings.home, account, store_bytes=settings.store_bytes)
        )
        self._postgres = None if settings.database_url else EmbeddedPostgres(settings.home, account)
        self._stopping = asyncio.Event()
        self._ended: dict[str, asyncio.Event] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Until SIGTERM, SIGINT or SIGHUP. Raises ``HostingError`` when a server never starts."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGCHLD, self._look_for_ended)
        try:
            work = asyncio.create_task(self._work())
            stop = asyncio.create_task(self._stopping.wait())
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            if work.done():
                await work  # it never ends by itself: this raises what went wrong
            for task in (work, *self._tasks):
                task.cancel()
            await asyncio.gather(work, *self._tasks, return_exceptions=True)
        finally:
            self._stop_all()

    async def _work(self) -> None:
        if self._nats:
            await self._first_start(self._nats)
            self._background(self._watch_storage(self._nats))
            self._background(self._watch_bridges(self._nats))
        store_bytes = self._nats.store_bytes if self._nats else None
        await prepare_streams(self._settings, store_bytes=store_bytes)
        if self._postgres:
            await self._first_start(self._postgres)
        prepare_database(self._settings)
        settle_http_port(self._settings)
        admin = first_admin(self._settings)
        for unit in self._services:
            if unit.prepare is None:
                await self._first_start(unit)
        await self._gateway_answers()
        await self._services_answer()
        for unit in self._services:
            if unit.prepare is not None:
                await asyncio.to_thread(unit.prepare)
                await self._first_start(unit)
        self._announce(ready(self._settings, {"mail": admin.mail, "password": admin.password}))
        await asyncio.gather(*self._tasks)

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _first_start(self, unit: Unit) -> None:
        self._ended[unit.name] = asyncio.Event()
        unit.spawn()
        await _until(unit.is_ready)
        log.info("started", unit=unit.name, pid=unit.pid)
        self._background(self._keep(unit))

    async def _keep(self, unit: Unit) -> None:
        """Start ``unit`` again whenever it ends, for ever."""
        backoff = Backoff()
        ended = self._ended[unit.name]
        while True:
            since = time.monotonic()
            await ended.wait()
            wait = backoff.after(time.monotonic() - since)
            log.warning("ended", unit=unit.name, code=unit.poll(), again_in_s=wait)
            await asyncio.sleep(wait)
            ended.clear()
            try:
                await self._start_again(unit)
            except (HostingError, OSError) as error:
                log.error("cannot start", unit=unit.name, problem=str(error))
                ended.set()

    async def _start_again(self, unit: Unit) -> None:
        before = self._nats.port if self._nats else 0
        unit.finish_stop(0)
        unit.spawn()
        await _until(unit.is_ready)
        log.info("started again", unit=unit.name, pid=unit.pid)
        if self._nats and unit is self._nats and self._nats.port != before:
            for service in self._services:  # somebody took the port: they must learn the new one
                service.begin_stop()

    async def _watch_storage(self, nats: EmbeddedNats) -> None:
        """A store that was full stays shut until the server starts again."""
        watch = StorageWatch(self._settings.home)
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            if watch.restart_is_due():
                log.warning("space is back: restarting nats-server")
                nats.begin_stop()
                await asyncio.sleep(WATCH_EVERY_S)
                watch.restarted()

    async def _watch_bridges(self, nats: EmbeddedNats) -> None:
        """A bridge that was enrolled can log in without a restart."""
        while True:
            await asyncio.sleep(BRIDGES_EVERY_S)
            try:
                if nats.read_bridges():
                    log.info("bridges were enrolled")
            except (OSError, ValueError) as error:
                log.error("bridges cannot be read", problem=str(error))

    async def _gateway_answers(self) -> None:
        """Wait until the gateway answers HTTP, whatever it answers."""
        if any(unit.name == "gateway" for unit in self._services):
            address = urlsplit(gateway_url(self._settings))
            host, port = str(address.hostname), int(address.port or 80)
            await _until(lambda: _answers(host, port))

    async def _services_answer(self) -> None:
        """Wait until each has registered: a gateway without a writer is no use to anybody."""
        wanted = {unit.name for unit in self._services if unit.registers}
        client = await connect(self._settings, "supervisor")
        try:
            while not wanted <= {found.name for found in await ping_all(client, wait=PING_S)}:
                log.debug("waiting for services")
        finally:
            await client.close()

    def _look_for_ended(self) -> None:
        servers = [unit for unit in (self._nats, self._postgres) if unit]
        for unit in (*servers, *self._services):
            if unit.name in self._ended and unit.poll() is not None:
                self._ended[unit.name].set()

    def _stop_all(self) -> None:
        log.info("stopping")
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)
        until = time.monotonic() + STOP_SERVICES_S
        for left, unit in zip(
            range(len(self._services), 0, -1), reversed(self._services), strict=True
        ):
            unit.begin_stop()
            unit.finish_stop(max(0.1, (until - time.monotonic()) / left))
        for server in (self._postgres, self._nats):
            if server:
                server.begin_stop()
                server.finish_stop(STOP_SERVERS_S)
        log.info("stopped")


def ready(settings: Settings, admin: dict[str, str]) -> Ready:
    """Where everything is, for people and programs."""
    url = gateway_url(settings)
    shown = {k: v for k, v in conninfo_to_dict(conninfo(settings)).items() if k != "password"}
    return Ready(
        url=url,
        graphql=f"{url}/graphql",
        nats=nats_url(settings),
        database=make_conninfo("", **shown),
        home=str(settings.home),
        admin=admin,
    )


def services(
    settings: Settings,
    names: Sequence[str] = SERVICES,
    *,
    verbose: bool = False,
    prepare: Mapping[str, Callable[[], None]] = MappingProxyType({}),
) -> list[ServiceProcess]:
    """Our services as child processes; ``prepare``: see ``ServiceProcess``."""
    return [
        ServiceProcess(
            name,
            service_command(settings, name),
            settings.home,
            verbose=verbose,
            registers=name in SERVICES,
            prepare=prepare.get(name),
        )
        for name in names
    ]


def supervise(
    settings: Settings, units: Sequence[ServiceProcess], announce: Callable[[Ready], None]
) -> None:
    """Hold the home and run until told to stop. Raises ``HomeInUseError``, ``HostingError``."""
    make_home(settings.home)
    with held(settings.home):
        asyncio.run(Supervisor(settings, units, announce).run())


async def _until(check: Callable[[], bool]) -> None:
    """Ask again twenty times a second; only a start waits so."""
    while not check():  # noqa: ASYNC110
        await asyncio.sleep(0.05)


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2) as client:
            client.sendall(b"GET /health HTTP/1.0\r\nHost: imewe\r\n\r\n")
            return client.recv(7) == b"HTTP/1."
    except OSError:
        return False
