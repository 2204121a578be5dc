"""What the notary does for people, told to the audit trail."""

import structlog
from nats.aio.client import Client

from domain.shared.errors import ImeweError
from ops.messaging.command_client import report_step

log = structlog.get_logger()


async def tell_step(client: Client, action: str, outcome: str, *, token: str, **told: str) -> None:
    """Put a step into the audit trail. What cannot be told there is not begun: only that raises
    ``ImeweError``; of what happened since, a warning is left."""
    step = {"action": f"notary.{action}", "outcome": outcome, **told}
    try:
        await report_step(client, step, token=token)
    except ImeweError as error:
        if outcome == "begun":
            raise
        log.warning("the audit trail was not told", **step, problem=error.message)
