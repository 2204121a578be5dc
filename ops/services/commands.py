"""The commands service: the only writer of the log, on a NATS queue group of N copies."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

import structlog
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from commands.accounts.authentication import Authentication
from commands.accounts.certificate import CertificateDesk
from commands.accounts.erasing import Erasing
from commands.accounts.login import Login
from commands.accounts.revealing import Revealing
from commands.application import Imewe
from commands.auditing.desk import AuditDesk
from commands.auditing.recording import step
from commands.auditing.sealing import SealingLog
from commands.auditing.trail import Trail
from commands.bus import Bus
from commands.idempotency import Once
from commands.principal import Principal
from commands.service import CommandService
from commands.tokens import Verifier
from commands.wire import (
    AUDIT_READ,
    AUDIT_REPORT,
    AUDIT_STEP,
    AUTH_CERTIFICATE,
    AUTH_REVEAL,
    PREFIX,
    write_refusal,
)
from commands.world import ArtifactCatalogue, Ports
from domain.shared.errors import ImeweError, UnavailableError
from ops import failpoints
from ops.artifacts.catalogue import LoopCatalogue
from ops.clock import SystemClock
from ops.eventstore.answers import Answers
from ops.eventstore.audit import AuditStream
from ops.eventstore.client import Client
from ops.eventstore.jetstream import environment_of
from ops.eventstore.keyring import Keyring
from ops.eventstore.personal import Secrets
from ops.eventstore.rotation import KekRotation
from ops.eventstore.secrets import SecretBucket
from ops.founding import found, patiently
from ops.hosting.entrance import first_admin
from ops.hosting.service_loop import told_to_stop
from ops.keys import token_keys
from ops.messaging.administration import AdministrationDesk
from ops.messaging.command_client import LOGIN
from ops.messaging.connection import address, connect
from ops.messaging.key_desk import STEP, KeyDesk
from ops.messaging.services import register
from ops.messaging.space import demand_room
from ops.settings import Settings

QUEUE = "commands"
THREADS = 12
"""Commands at once in one process; each waits most of its time for the disk of the log."""
LOGINS_AT_ONCE = 2
WAITING_LIMIT = 400
STOP_S = 2.0
LOG_USER = "log_commands"
FLUSH_S = 5.0
"""Between two looks for minutes that are over."""
ERASURES_S = 60.0
"""Between two looks for erasures that were ordered and not finished."""

log = structlog.get_logger()


class Writer:
    """Everything behind the connection: log, secrets, audit trail, bus. Use as a context."""

    def __init__(self, settings: Settings, artifacts: ArtifactCatalogue) -> None:
        where = address(settings, LOG_USER)
        self._client = Client(where)
        clock = self._clock = SystemClock()
        self._application = Imewe(environment_of(where))
        bucket = SecretBucket(self._client)
        keyring = Keyring(settings.home)
        secrets = Secrets(bucket, keyring)
        patiently(lambda: secrets.lookup_key("requests"))
        people = Authentication(secrets)
        audit_log = AuditStream(self._client, now=clock.now)
        self.trail = Trail(SealingLog(audit_log, people), clock=clock)
        self.verifier = verifier = Verifier(
            token_keys(settings.home).public, clock=clock, is_gone=people.is_erased
        )
        answers = Answers(self._client)
        self._once = Once(answers, key=secrets.lookup_key("requests"))
        self.rotation = KekRotation(secrets, keyring)
        self.bus = Bus(
            Ports(application=self._application, authentication=people, artifacts=artifacts),
            verifier=verifier,
            once=self._once,
            clock=clock,
            demand_room=partial(demand_room, settings),
            trail=self.trail,
        )
        login = Login(
            self._application,
            people,
            trail=self.trail,
            clock=clock,
            mail_key=secrets.lookup_key("audit trail"),
        )
        desk = AuditDesk(self.trail, audit_log, people, verifier=verifier, clock=clock)
        revealing = Revealing(self._application, people, verifier=verifier)
        self.erasing = Erasing(self._application, people, self.bus, answers)
        self.service = CommandService(
            self.bus,
            login,
            revealing,
            desk,
            erasing=self.erasing,
            certificates=CertificateDesk(self._application, verifier=verifier),
        )

    def tell_rotation(self, outcome: str, person: Principal | None) -> None:
        """A step of a new key-encryption key, for the audit trail. Raises ``UnavailableError``."""
        told = {"action": STEP, "outcome": outcome}
        self.trail.step(step(told, "commands", person, at=self._clock.now()), service="commands")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._once.close()
        self.trail.flush(everything=True)
        self._application.close()
        self._client.close()


@dataclass(slots=True)
class Desk:
    """Takes messages from the connection, has them answered by threads, sends the answers."""

    client: NatsClient
    service: CommandService
    commands: ThreadPoolExecutor
    logins: ThreadPoolExecutor
    tasks: set[asyncio.Task[None]]

    async def on_command(self, message: Msg) -> None:
        work = partial(self.service.command, message.subject, message.headers, message.data)
        await self._take(message, self.commands, work)

    async def on_login(self, message: Msg) -> None:
        await self._take(message, self.logins, partial(self.service.log_in, message.data))

    async def on_reveal(self, message: Msg) -> None:
        work = partial(self.service.reveal, message.headers, message.data)
        await self._take(message, self.commands, work)

    async def on_certificate(self, message: Msg) -> None:
        work = partial(self.service.certificate, message.headers, message.data)
        await self._take(message, self.commands, work)

    async def on_audit(self, message: Msg) -> None:
        work = partial(self.service.audit, message.subject, message.headers, message.data)
        await self._take(message, self.commands, work)

    async def _take(
        self, message: Msg, pool: ThreadPoolExecutor, work: Callable[[], bytes]
    ) -> None:
        if len(self.tasks) >= WAITING_LIMIT:
            busy = UnavailableError("too many commands at once", remedy="try again in a second")
            await message.respond(write_refusal(busy))
            return
        task = asyncio.create_task(self._answer(message, pool, work))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _answer(
        self, message: Msg, pool: ThreadPoolExecutor, work: Callable[[], bytes]
    ) -> None:
        answer = await asyncio.get_running_loop().run_in_executor(pool, work)
        failpoints.reach("commands.reply.before")
        if message.reply:
            await message.respond(answer)


def main(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    asyncio.run(_until_told(settings))


async def _until_told(settings: Settings) -> None:
    await serve(settings, told_to_stop())


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Answer commands and log-ins until told to stop."""
    client = await connect(settings, "commands")
    try:
        with Writer(settings, LoopCatalogue(asyncio.get_running_loop(), client)) as writer:
            await asyncio.to_thread(found, writer.bus, first_admin(settings))
            keys = KeyDesk(writer.rotation, writer.tell_rotation)
            administration = AdministrationDesk(
                client, "commands", keys.handlers, verifier=writer.verifier
            )
            tasks = [
                asyncio.create_task(_flush(writer.trail)),
                asyncio.create_task(_finish_erasures(writer.erasing)),
            ]
            keys.resume()
            await administration.open()
            try:
                await _serve(settings, client, writer.service, stopping)
            finally:
                await administration.close()
                for task in tasks:
                    task.cancel()
                await keys.close()
    finally:
        await client.close()


async def _finish_erasures(erasing: Erasing) -> None:
    """What a crash left, this copy's or another's."""
    while True:
        try:
            if finished := await asyncio.to_thread(erasing.resume):
                log.info("erasures were finished", count=finished)
        except ImeweError as error:
            log.warning("erasures cannot be looked at", problem=str(error))
        await asyncio.sleep(ERASURES_S)


async def _flush(trail: Trail) -> None:
    while True:
        await asyncio.sleep(FLUSH_S)
        await asyncio.to_thread(trail.flush)


async def _serve(
    settings: Settings, client: NatsClient, service: CommandService, stopping: asyncio.Event
) -> None:
    desk = Desk(
        client,
        service,
        ThreadPoolExecutor(THREADS, thread_name_prefix="command"),
        ThreadPoolExecutor(LOGINS_AT_ONCE, thread_name_prefix="login"),
        set(),
    )
    subscriptions = [
        await client.subscribe(f"{PREFIX}.>", queue=QUEUE, cb=desk.on_command),
        await client.subscribe(LOGIN, queue=QUEUE, cb=desk.on_login),
        await client.subscribe(AUTH_REVEAL, queue=QUEUE, cb=desk.on_reveal),
        await client.subscribe(AUTH_CERTIFICATE, queue=QUEUE, cb=desk.on_certificate),
        await client.subscribe(AUDIT_REPORT, queue=QUEUE, cb=desk.on_audit),
        await client.subscribe(AUDIT_READ, queue=QUEUE, cb=desk.on_audit),
        await client.subscribe(f"{AUDIT_STEP}.*", queue=QUEUE, cb=desk.on_audit),
    ]
    registered = await register(client, settings, "commands")
    log.info("commands are served")
    await stopping.wait()
    await _finish(desk, subscriptions)
    await registered.stop()


async def _finish(desk: Desk, subscriptions: list[Subscription]) -> None:
    """Take no more and answer what was taken; what is not answered is sent again."""
    for subscription in subscriptions:
        await subscription.drain()  # type: ignore[no-untyped-call]
    if desk.tasks:
        await asyncio.wait(set(desk.tasks), timeout=STOP_S)
    await desk.client.flush()
    for pool in (desk.commands, desk.logins):
        pool.shutdown(wait=False, cancel_futures=True)
