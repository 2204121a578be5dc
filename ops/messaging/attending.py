"""The gateway's way to bridges whose machines are attended by people."""

from typing import Any

import nats.errors
import orjson
from nats.aio.client import Client

from commands.wire import ERRORS, read_answer
from domain.shared.errors import IllegalTransitionError, ImeweError, UnavailableError

PATIENCE_S = 5.0


class NatsAttending:
    """``Attending``: core request and reply with the bridge itself."""

    def __init__(self, client: Client, *, patience_s: float = PATIENCE_S) -> None:
        self._client = client
        self._patience_s = patience_s

    async def tasks(self, *, bridge: str) -> list[dict[str, Any]]:
        """See ``Attending``."""
        tasks: list[dict[str, Any]] = (await self._ask(bridge, "tasks", {}))["tasks"]
        return tasks

    async def attend(self, *, bridge: str, word: dict[str, Any]) -> dict[str, Any]:
        """See ``Attending``."""
        return await self._ask(bridge, "attend", word)

    async def _ask(self, bridge: str, verb: str, request: dict[str, Any]) -> dict[str, Any]:
        subject = f"imewe.bridge.{bridge}.{verb}"
        try:
            message = await self._client.request(
                subject, orjson.dumps(request), timeout=self._patience_s
            )
        except nats.errors.NoRespondersError as error:
            raise UnavailableError(
                f"bridge {bridge} is not connected: it heard nothing",
                remedy="start the bridge, then say it again",
            ) from error
        except (nats.errors.Error, OSError) as error:
            raise UnavailableError(
                f"bridge {bridge} did not answer: it may have heard",
                remedy="say it again: twice does no harm",
            ) from error
        try:
            return read_answer(message.data)
        except ImeweError as refusal:
            if refusal.code in ERRORS and refusal.code != ImeweError.code:
                raise
            raise IllegalTransitionError(refusal.message, remedy=refusal.remedy) from refusal
