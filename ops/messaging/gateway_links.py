"""The gateway's ports on its NATS connection."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import nats.errors
import orjson
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from commands.wire import read_answer
from domain.shared.errors import (
    ImeweError,
    NodeUnavailableError,
    NotFoundError,
    UnavailableError,
)
from domain.telemetry.messages import read_batch
from gateways.graphql.live import LiveHub, Readings
from gateways.graphql.projecting import PROGRESS
from gateways.security.denials import Denial
from ops.messaging.command_client import (
    log_in,
    read_certificate,
    read_trail,
    report_denial,
    report_step,
    reveal,
    reveal_notes,
)

NOTES_AT_ONCE = 100
"""Of a thousand characters each, sealed; a request takes 900 kB."""
PROJECTED = "imewe.projected"
STOP_PATIENCE_S = 3.0
"""The goal for the bridge's receipt is 250 ms; a person who waits longer is told to act."""
CLEAR_PATIENCE_S = 30.0
"""A reset, a boot and a handshake of three tries."""
TOUCH_IT = "press the machine's own emergency stop"

log = structlog.get_logger()


class NatsTelemetrySource:
    """``TelemetrySource``: samples as the bridges publish them."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def follow(
        self, node_id: str, take: Callable[[Readings], None]
    ) -> Callable[[], Awaitable[None]]:
        """Subscribe; ``node_id`` is a canonical UUID, so that it cannot name another subject.

        A message that is none is left out.
        """

        async def on_message(message: Msg) -> None:
            try:
                told = orjson.loads(message.data)
                batch = read_batch(told, node_id=node_id, received=time.time_ns() // 1_000_000)
            except ValueError as problem:
                log.debug("no telemetry", node_id=node_id, problem=str(problem))
            else:
                take({**told, "v": batch.values()})

        subscription = await self._client.subscribe(f"imewe.telemetry.{node_id}", cb=on_message)
        return subscription.unsubscribe


class NatsPasswordCheck:
    """``PasswordCheck``: the commands service answers ``imewe.auth.login``."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def check(self, *, mail: str, password: str, address: str = "") -> dict[str, Any]:
        """See ``PasswordCheck``."""
        return await log_in(self._client, mail=mail, password=password, address=address)


class NatsPeople:
    """``People``: the commands service holds the keys."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def reveal(
        self, account_ids: Sequence[str], *, token: str
    ) -> dict[str, dict[str, str | None]]:
        """See ``People``."""
        return await reveal(self._client, account_ids, token=token)

    async def reveal_notes(self, words: Sequence[str], *, token: str) -> dict[str, str | None]:
        """See ``People``."""
        found: dict[str, str | None] = {}
        for begin in range(0, len(words), NOTES_AT_ONCE):
            some = words[begin : begin + NOTES_AT_ONCE]
            found |= await reveal_notes(self._client, some, token=token)
        return found

    async def certificate(self, subject_id: str, *, token: str) -> dict[str, Any] | None:
        """See ``People``."""
        return await read_certificate(self._client, subject_id, token=token)


class NatsAuditTrail:
    """``AuditTrail``, and where ``Denials`` go: the commands service has both."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def read(
        self, *, first: int, before: int | None, token: str, about: str | None = None
    ) -> dict[str, Any]:
        """See ``AuditTrail``."""
        return await read_trail(self._client, first=first, before=before, about=about, token=token)

    async def step(self, told: Mapping[str, str], token: str) -> None:
        """Write a step of the gateway for a person. Raises ``UnavailableError``."""
        await report_step(self._client, told, token=token)

    async def tell(self, denial: Denial, count: int) -> None:
        """Hand over a denial that came ``count`` times. Raises ``UnavailableError``."""
        told = {**asdict(denial), "count": count}
        token = told.pop("token")
        await report_denial(self._client, told, token=token)


class NatsEmergencyStops:
    """``EmergencyStops``: core request and reply with the bridge itself."""

    def __init__(self, client: Client, *, patience_s: float = STOP_PATIENCE_S) -> None:
        self._client = client
        self._patience_s = patience_s

    async def stop(self, *, bridge: str, node_id: str, by: str) -> dict[str, Any]:
        """See ``EmergencyStops``."""
        subject = f"imewe.stop.{bridge}.{node_id}"
        body = orjson.dumps({"stopped_by": by})
        try:
            message = await self._client.request(subject, body, timeout=self._patience_s)
        except nats.errors.NoRespondersError as error:
            raise UnavailableError(
                f"bridge {bridge} is not connected: the machine was not stopped", remedy=TOUCH_IT
            ) from error
        except (nats.errors.Error, OSError) as error:
            raise UnavailableError(
                f"bridge {bridge} did not answer: it is not known whether the machine stopped",
                remedy=TOUCH_IT,
            ) from error
        return read_answer(message.data)


class NatsFaultClearing:
    """``FaultClearing``: the bridge answers when it has reset the machine and probed it."""

    def __init__(self, client: Client, *, patience_s: float = CLEAR_PATIENCE_S) -> None:
        self._client = client
        self._patience_s = patience_s

    async def clear_fault(
        self, *, bridge: str, node_id: str, by: str, keep_stop: bool
    ) -> dict[str, Any]:
        """See ``FaultClearing``."""
        subject = f"imewe.bridge.{bridge}.clear_fault"
        body = orjson.dumps({"node_id": node_id, "operator": by, "keep_stop": keep_stop})
        try:
            message = await self._client.request(subject, body, timeout=self._patience_s)
        except nats.errors.NoRespondersError as error:
            raise UnavailableError(
                f"bridge {bridge} is not connected: the machine was not cleared",
                remedy="start the bridge, then say it again",
            ) from error
        except (nats.errors.Error, OSError) as error:
            raise UnavailableError(
                f"bridge {bridge} did not answer: it is not known whether the machine was cleared",
                remedy="say it again",
            ) from error
        try:
            return read_answer(message.data)
        except (NotFoundError, UnavailableError):
            raise
        except ImeweError as refusal:
            raise NodeUnavailableError(
                f"the machine was not cleared: {refusal.message}",
                remedy=refusal.remedy or "look at the machine, then say it again",
            ) from refusal


async def hear_projections(client: Client, hub: LiveHub) -> None:
    """Wake watchers by what projections announce: ``{"position": int, "keys": [ids]}``."""

    async def on_message(message: Msg) -> None:
        projection = message.subject.rpartition(".")[2]
        hub.announce(projection, orjson.loads(message.data)["keys"])

    async def on_progress(message: Msg) -> None:
        hub.announce(PROGRESS, [message.subject.rpartition(".")[2]])

    await client.subscribe(f"{PROJECTED}.*", cb=on_message)
    await client.subscribe(f"{PROJECTED}.progress.*", cb=on_progress)
