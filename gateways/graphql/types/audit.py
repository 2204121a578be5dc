"""Lines of the audit trail."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

import strawberry

from gateways.graphql.fields import described
from gateways.graphql.scalars import Instant, Position


@strawberry.type(description="A log-in, or something that was refused for want of a right.")
class AuditEntry:
    sequence: Position = described("Its place in the trail.")
    at: Instant = described("When it happened; of a count, when the last one did.")
    actor: str = described("Who: kind/id, or nobody while nothing proves it.")
    action: str = described("A command, login, or what was to be read.")
    resource: str = described("What it was about: kind/id, or empty.")
    outcome: str = described("OK, or the code of the refusal.")
    reason: str = described("The words of the refusal.")
    address: str = described("Where the request came from, as the gateway saw it; or erased.")
    organisation_id: strawberry.ID = described("The tenant, or empty: it was nobody's.")
    correlation_id: str = described("The story it belongs to, or empty.")
    count: int = described("1, or how many more of its kind the minute had.")
    hash: str = described("sha256 over the line and the hash of the line before.")

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From an entry of the commands service's answer."""
        return cls(
            sequence=Position(told["sequence"]),
            at=Instant(datetime.fromisoformat(told["at"])),
            actor=told["actor"],
            action=told["action"],
            resource=told["resource"],
            outcome=told["outcome"],
            reason=told["reason"],
            address=told["address"],
            organisation_id=strawberry.ID(told["organisation_id"]),
            correlation_id=told["correlation_id"],
            count=told["count"],
            hash=told["hash"],
        )
