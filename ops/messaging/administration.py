"""What admins and auditors ask a service directly: ``imewe.admin.<service>.<verb>``.

Only the gateway may publish there. It hands the person's token on, and the service that obeys
checks token and rights again: a gateway that was taken over gains nobody's rights.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

import nats.errors
import orjson
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from commands.authorisation import permitted_places
from commands.principal import Principal
from commands.tokens import Verifier
from commands.wire import TOKEN, read_answer, write_answer, write_refusal
from domain.shared.errors import ImeweError, InvalidInputError, UnavailableError

PREFIX = "imewe.admin"
PATIENCE_S = 15.0
ASKING: ContextVar[str] = ContextVar("ASKING", default="")
"""The token of the person whom a handler obeys, for telling the audit trail in their name."""

log = structlog.get_logger()

Handler = Callable[[Principal, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Gets the person, who has the right, and what was asked; returns the answer's members."""


class NatsAdministration:
    """``Administration`` of ``gateways.ports`` on a connection that may publish there."""

    def __init__(self, client: Client, *, patience_s: float = PATIENCE_S) -> None:
        self._client = client
        self._patience_s = patience_s

    async def ask(
        self, service: str, verb: str, payload: dict[str, Any], *, token: str
    ) -> dict[str, Any]:
        """See ``Administration``."""
        try:
            message = await self._client.request(
                f"{PREFIX}.{service}.{verb}",
                orjson.dumps(payload),
                timeout=self._patience_s,
                headers={TOKEN: token},
            )
        except nats.errors.NoRespondersError as error:
            raise UnavailableError(
                f"the {service} service does not run; nothing was done", remedy="try again"
            ) from error
        except (nats.errors.Error, OSError) as error:
            raise UnavailableError(
                f"the {service} service did not answer in {self._patience_s:g} s; it is not known"
                " whether it obeyed",
                remedy="look before you ask again",
            ) from error
        return read_answer(message.data)


class AdministrationDesk:
    """A service's side. ``handlers`` maps a verb to the right it needs and what obeys it."""

    def __init__(
        self,
        client: Client,
        service: str,
        handlers: Mapping[str, tuple[str, Handler]],
        *,
        verifier: Verifier,
    ) -> None:
        self._client = client
        self._service = service
        self._handlers = handlers
        self._verifier = verifier
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        """Take questions from now on; one of several copies of the service takes each."""
        self._subscription = await self._client.subscribe(
            f"{PREFIX}.{self._service}.*", queue=self._service, cb=self._on_message
        )

    async def close(self) -> None:
        """Take no more, and answer those that were taken."""
        if self._subscription is not None:
            await self._subscription.drain()  # type: ignore[no-untyped-call]
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=1.0)

    async def _on_message(self, message: Msg) -> None:
        task = asyncio.create_task(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: Msg) -> None:
        try:
            body = write_answer(await self._obey(message))
        except ImeweError as error:
            body = write_refusal(error)
        except Exception:
            log.exception("a question was not answered", subject=message.subject)
            body = write_refusal(ImeweError("Something went wrong on our side"))
        await message.respond(body)

    async def _obey(self, message: Msg) -> dict[str, Any]:
        verb = message.subject.rpartition(".")[2]
        if verb not in self._handlers:
            raise InvalidInputError(f"the {self._service} service knows no {verb}", field="verb")
        right, handler = self._handlers[verb]
        token = (message.headers or {}).get(TOKEN, "")
        principal = self._verifier.verify(token)
        permitted_places(right, principal)
        ASKING.set(token)
        return await handler(principal, _object(message.data))


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise InvalidInputError("this is no JSON") from error
    if not isinstance(told, dict):
        raise InvalidInputError("this is no JSON object")
    return told
