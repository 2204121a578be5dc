"""Where samples go: stream ``IMEWE_TELEMETRY``, one columnar message per publication."""

from typing import Any

import nats.errors
import orjson
from nats.aio.client import Client

from domain.shared.errors import UnavailableError

PATIENCE_S = 5.0


class NatsTelemetryFeed:
    """``TelemetryFeed`` over a connection that may publish ``imewe.telemetry.>``.

    A message is named by node, bridge epoch and number, so a repetition within two minutes is
    stored once.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def publish(self, node_id: str, columns: dict[str, Any]) -> None:
        """Hand over one message and wait for the stream's word. Raises ``UnavailableError``."""
        name = f"{node_id}:{columns.get('epoch')}:{columns.get('seq')}"
        try:
            answer = await self._client.request(
                f"imewe.telemetry.{node_id}",
                orjson.dumps(columns),
                timeout=PATIENCE_S,
                headers={"Nats-Msg-Id": name},
            )
        except (nats.errors.Error, OSError) as problem:
            raise UnavailableError(f"the telemetry stream does not answer: {problem}") from problem
        if "error" in orjson.loads(answer.data):
            raise UnavailableError("the telemetry stream refused a message")
