"""The projections service: one reader of the log, all projections, and what admins do to them.

Telemetry is taken in here, too, in a thread of its own, unless a service does that apart.
"""

import asyncio
import os
from functools import partial

import structlog

from commands.tokens import Verifier
from ops.clock import SystemClock
from ops.eventstore.reader import LogReader
from ops.hosting.service_loop import in_thread_beside, told_to_stop, until_told
from ops.keys import token_keys
from ops.messaging.administration import AdministrationDesk
from ops.messaging.connection import connect
from ops.messaging.services import register
from ops.projecting.announcing import Announcer
from ops.projecting.desk import ProjectionDesk, Wires
from ops.projecting.runner import Announcement, Runner
from ops.projecting.threads import in_thread
from ops.projecting.versions import Versions
from ops.projecting.wiring import NATS_USER, connected, log_reader
from ops.settings import Settings
from ops.telemetry.wiring import beside_projections
from projections.catalogue import CATALOGUE, EARLIER

STOP_S = 2.0
STANDSTILL_S = 30
"""Then a runner that stands still in a transaction (its machine sleeps, its network is gone) loses
its connection, and with it the lock that keeps another one from going on."""
YIELDING = 5
"""Niceness: on a busy machine people's commands go before the rows that follow from them."""

log = structlog.get_logger()


def main(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    os.nice(YIELDING)
    asyncio.run(serve(settings))


async def serve(settings: Settings) -> None:
    """Serve until told to stop."""
    stopping = told_to_stop()
    client = await connect(settings, NATS_USER)
    announcer = Announcer(client, asyncio.get_running_loop())
    try:
        with log_reader(settings) as reader, beside_projections(settings):
            runner = _runner(settings, reader, announcer)
            desk = _desk(settings, runner, announcer)
            verifier = Verifier(token_keys(settings.home).public, clock=SystemClock())
            answering = AdministrationDesk(client, "projections", desk.handlers, verifier=verifier)
            registered = await register(client, settings, "projections")
            await answering.open()
            in_thread(desk.keep_taking_up)
            await _follow(runner, reader, stopping)
            desk.close()
            await answering.close()
            await registered.stop()
    finally:
        await client.close()


def _runner(settings: Settings, reader: LogReader, announcer: Announcer) -> Runner:
    def switched(name: str, schema: str) -> None:
        told = {"action": "projections.switch", "outcome": "done"}
        announcer.report_later({**told, "resource": f"projection/{name}", "reason": schema})

    return Runner(
        reader,
        CATALOGUE,
        connect=lambda: connected(settings, idle_s=STANDSTILL_S),
        announce=announcer,
        earlier=EARLIER,
        automatic=settings.projections_switch == "automatic",
        switched=switched,
    )


def _desk(settings: Settings, runner: Runner, announcer: Announcer) -> ProjectionDesk:
    def moved(name: str, position: int, keys: list[str]) -> None:
        runner.look()
        announcer(Announcement(name, position, keys))

    wires = Wires(
        connect=partial(connected, settings),
        open_log=partial(log_reader, settings),
        report=announcer.report,
        tell=announcer.progress,
        moved=moved,
    )
    return ProjectionDesk(
        wires,
        Versions(CATALOGUE, EARLIER),
        automatic=settings.projections_switch == "automatic",
        disk=None if settings.database_url else settings.home,
    )


async def _follow(runner: Runner, reader: LogReader, stopping: asyncio.Event) -> None:
    """The runner blocks, so it has a thread; the last batch is finished or rolled back."""

    def stop() -> None:
        runner.stop()
        reader.close()

    async with in_thread_beside(runner.run, stop, patience_s=STOP_S) as ended:
        log.info("projections follow the log")
        await until_told(stopping, ended, what="the runner")
