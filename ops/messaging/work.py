"""The work queue of the machines, on stream ``IMEWE_WORK``.

One durable pull consumer per node, made by the filtered create subject, because that is all a
bridge may ask for: ``CONSUMER.CREATE.IMEWE_WORK.<node>.imewe.work.<node>``.
"""

import asyncio
import json
from dataclasses import dataclass, field

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from domain.shared.errors import UnavailableError
from ops import failpoints
from ops.messaging.streams import ask

STREAM = "IMEWE_WORK"
PULL_S = 10.0
ACK_WAIT_S = 30.0
ACK_S = 5.0
RETRY_S = 1.0

log = structlog.get_logger()


@dataclass(slots=True)
class NatsWorkItem:
    """One message; ``WorkItem`` of the bridge."""

    message: Msg
    client: Client

    @property
    def body(self) -> bytes:
        """The message's JSON."""
        return self.message.data

    async def acknowledge(self) -> None:
        """Never deliver it again. Lost, it comes again and the journal knows it."""
        failpoints.reach("bridge.work.before")
        await self._answer(b"+ACK")
        failpoints.reach("bridge.work.after")

    async def retry(self, delay_s: float) -> None:
        """Deliver it again after a while."""
        delay = json.dumps({"delay": int(delay_s * 1e9)}).encode()
        await self._answer(b"-NAK " + delay)

    async def _answer(self, word: bytes) -> None:
        try:
            await self.client.request(self.message.reply, word, timeout=ACK_S)
        except (nats.errors.Error, OSError) as problem:
            log.info("work_answer_lost", problem=str(problem))


@dataclass(slots=True)
class _Inbox:
    """Where one node's messages arrive; it outlives a pull, so a late message is not lost."""

    subject: str
    arrived: asyncio.Queue[Msg] = field(default_factory=asyncio.Queue)
    subscription: Subscription | None = None

    async def take(self, message: Msg) -> None:
        """One message, or a status, from the server."""
        self.arrived.put_nowait(message)

    async def close(self) -> None:
        """Listen no more."""
        if self.subscription is not None:
            await self.subscription.unsubscribe()


class NatsWorkQueue:
    """``WorkQueue`` of the bridge over one connection."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inboxes: dict[str, _Inbox] = {}

    async def pull(self, node_id: str) -> NatsWorkItem:
        """The next message for a node; waits, over lost connections too, until there is one."""
        while True:
            try:
                message = await self._pull_once(node_id)
            except (UnavailableError, nats.errors.Error, OSError) as problem:
                log.info("work_unreachable", node_id=node_id, problem=str(problem))
                await asyncio.sleep(RETRY_S)
                continue
            if message is not None:
                return NatsWorkItem(message, self._client)

    async def _pull_once(self, node_id: str) -> Msg | None:
        inbox = self._inboxes.get(node_id) or await self._prepare(node_id)
        wish = {"batch": 1, "expires": int(PULL_S * 1e9)}
        await self._client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{node_id}",
            json.dumps(wish).encode(),
            reply=inbox.subject,
        )
        try:
            message = await asyncio.wait_for(inbox.arrived.get(), PULL_S + 1.0)
        except TimeoutError:
            # the consumer, or the server that had it, may be gone
            await self._inboxes.pop(node_id).close()
            return None
        status = (message.headers or {}).get("Status")
        if status is None:
            return message
        if status != "408":  # the pull ran out: there is no work
            raise UnavailableError(f"work queue: {(message.headers or {}).get('Description')}")
        return None

    async def _prepare(self, node_id: str) -> _Inbox:
        """The durable consumer, and an inbox for it."""
        config = {
            "name": node_id,
            "durable_name": node_id,
            "filter_subject": f"imewe.work.{node_id}",
            "ack_policy": "explicit",
            "ack_wait": int(ACK_WAIT_S * 1e9),
            "max_ack_pending": 1,
            "max_deliver": -1,
            "deliver_policy": "all",
        }
        answer = await ask(
            self._client,
            f"CONSUMER.CREATE.{STREAM}.{node_id}.imewe.work.{node_id}",
            {"stream_name": STREAM, "config": config},
        )
        if "error" in answer:
            raise UnavailableError(f"work queue: {answer['error'].get('description')}")
        inbox = _Inbox(self._client.new_inbox())
        inbox.subscription = await self._client.subscribe(inbox.subject, cb=inbox.take)
        self._inboxes[node_id] = inbox
        return inbox
