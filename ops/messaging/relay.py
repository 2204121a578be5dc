"""What goes from the processes to the bridges: work for a queue, requests about a running build."""

from typing import Final

import nats.errors
import orjson
from nats.aio.client import Client

from commands.processes.outputs import Ask, Relay
from domain.shared.errors import ImeweError, UnavailableError
from ops import failpoints

STREAM: Final = "IMEWE_WORK"
PATIENCE_S: Final = 5.0


class BridgeRefusedError(ImeweError):
    """The bridge heard the request and does not grant it."""

    code = "BRIDGE_REFUSED"


class WorkRelay:
    """On the APP connection of the user ``processes``."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._jetstream = client.jetstream(timeout=PATIENCE_S)

    async def put(self, work: Relay) -> None:
        """Put a sent build on its node's queue. The queue drops the same build within two minutes;
        later ones are known to the bridge's journal. Raises ``UnavailableError``."""
        try:
            await self._jetstream.publish(
                f"imewe.work.{work.node_id}",
                orjson.dumps(work.message),
                stream=STREAM,
                headers={"Nats-Msg-Id": work.build_id},
            )
        except (nats.errors.Error, OSError) as problem:
            raise UnavailableError(f"the work queue does not take it: {problem}") from problem
        failpoints.reach("processes.work.relayed")

    async def ask(self, request: Ask) -> None:
        """Ask a bridge to cancel, pause or resume. The effect is reported as a command.

        Raises ``UnavailableError`` when it does not answer, ``BridgeRefusedError`` when it says no.
        """
        body = orjson.dumps({"node_id": request.node_id, "build_id": request.build_id})
        subject = f"imewe.bridge.{request.bridge}.{request.verb}"
        try:
            message = await self._client.request(subject, body, timeout=PATIENCE_S)
        except (nats.errors.Error, OSError) as problem:
            raise UnavailableError(f"bridge {request.bridge} does not answer") from problem
        answer = orjson.loads(message.data or b"{}")
        if not answer.get("ok"):
            raise BridgeRefusedError(str(answer.get("error", {}).get("message", "refused")))
