"""What the gateway asks of the rest of the system. ``ops`` brings the adapters."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from psycopg_pool import AsyncConnectionPool

from commands.tokens import Verifier
from domain.ports import ArtifactStore, Clock
from gateways.graphql.live import LiveHub
from gateways.graphql.whereabouts import KnownNodes
from gateways.security.denials import Denials
from gateways.security.exports import Exports
from gateways.security.sign_in import SignIn
from projections.history.states import Decode
from projections.telemetry.rows import ColdTier

UPLOAD_LIMIT_BYTES = 1024**3
BODY_LIMIT_BYTES = 1024**2


class Commands(Protocol):
    """The way to the commands service on behalf of a person."""

    async def send(
        self,
        name: str,
        payload: dict[str, Any],
        *,
        command_id: str,
        token: str = "",
        organisation_id: str = "",
        causation: str = "",
        correlation: str = "",
        address: str = "",
    ) -> dict[str, Any]:
        """See ``domain.ports.CommandPort``; the token is the person's, checked again there,
        ``address`` the client's, for the audit trail."""


class EmergencyStops(Protocol):
    """The direct way to the machine's bridge, past every queue."""

    async def stop(self, *, bridge: str, node_id: str, by: str) -> dict[str, Any]:
        """Halt the machine at once and return the bridge's receipt: ``confirmed``,
        ``latency_ms``, ``native_text``.

        Raises ``UnavailableError`` when the bridge does not answer in time.
        """


class FaultClearing(Protocol):
    """A person's word to the machine's bridge that the machine may be used again."""

    async def clear_fault(
        self, *, bridge: str, node_id: str, by: str, keep_stop: bool
    ) -> dict[str, Any]:
        """Have the machine reset and probed; returns what it says of itself then
        (``availability``, ``execution``, ``emergency_stop``, ``conditions``).

        ``keep_stop``: refuse while an emergency stop is latched. Raises ``UnavailableError`` when
        the bridge does not answer, ``NodeUnavailableError`` when the machine cannot be cleared.
        """


class Attending(Protocol):
    """Machines without a wire: their bridge believes what a person says."""

    async def tasks(self, *, bridge: str) -> list[dict[str, Any]]:
        """What waits for people at the machines of a bridge. Raises ``UnavailableError``."""

    async def attend(self, *, bridge: str, word: dict[str, Any]) -> dict[str, Any]:
        """Tell a bridge a person's word: ``node_id``, ``build_id``, ``said``, ``operator``,
        ``reason``, ``material_mg``. Returns ``fresh`` and the machine's state.

        Raises ``UnavailableError`` when the bridge does not answer, ``IllegalTransitionError``
        when the word cannot be true.
        """


class People(Protocol):
    """Names and mails, which lie sealed in the read models."""

    async def reveal(
        self, account_ids: Sequence[str], *, token: str
    ) -> dict[str, dict[str, str | None]]:
        """``mail`` and ``name`` by account id, ``None`` when erased; whom the token's person may
        not read is left out. Raises ``UnavailableError``."""

    async def reveal_notes(self, words: Sequence[str], *, token: str) -> dict[str, str | None]:
        """What people wrote, by its sealed word, ``None`` when erased; what the token's person
        may not read is left out. Raises ``UnavailableError``."""

    async def certificate(self, subject_id: str, *, token: str) -> dict[str, Any] | None:
        """The proof that a person was erased, or ``None``; see ``commands.accounts.certificate``.

        Raises ``ForbiddenError``, ``NotFoundError`` and ``UnavailableError``.
        """


class AuditTrail(Protocol):
    """Log-ins and denials, which the commands service alone can read."""

    async def read(
        self, *, first: int, before: int | None, token: str, about: str | None = None
    ) -> dict[str, Any]:
        """``entries`` with sequences below ``before``, the newest first, ``oldest`` (where to go
        on) and ``has_more``; with ``about`` only those that concern that account.

        Raises ``ForbiddenError`` when the token's person may not read it.
        """

    async def step(self, told: Mapping[str, str], token: str) -> None:
        """Write what the gateway does for a person. Raises ``UnavailableError``."""


class Administration(Protocol):
    """What admins and auditors ask a service directly, past the commands: no event follows."""

    async def ask(
        self, service: str, verb: str, payload: dict[str, Any], *, token: str
    ) -> dict[str, Any]:
        """The service's answer; it checks the person's token and rights itself.

        Raises the service's own refusals, and ``UnavailableError`` when it does not answer.
        """


class StoredLog(Protocol):
    """The log as it is stored, for those who audit it."""

    async def read(self, after: int, limit: int) -> list[dict[str, Any]]:
        """What follows a position: ``sequence``, ``time``, ``subject``, ``headers``, and ``text``
        or ``body`` (base64)."""

    async def last_position(self) -> int:
        """The position of the newest event, 0 for an empty log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Everything a request may use.

    ``pool`` gives autocommit connections. ``production`` hides the schema from strangers.
    ``decode`` reads events from the rows of the history.
    ``health`` says what cannot be reached at the moment; empty means all is well.
    """

    commands: Commands
    pool: AsyncConnectionPool[Any]
    artifacts: ArtifactStore
    stops: EmergencyStops
    faults: FaultClearing
    attending: Attending
    people: People
    trail: AuditTrail
    administration: Administration
    log: StoredLog
    denials: Denials
    exports: Exports
    sign_in: SignIn
    verifier: Verifier
    live: LiveHub
    clock: Clock
    new_id: Callable[[], str]
    decode: Decode
    whereabouts: KnownNodes = field(default_factory=KnownNodes)
    cold: ColdTier | None = None
    """Readings that left the database; `None` where nothing can read such files."""
    hashing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    """Read models are hashed one at a time: each keeps a connection and a snapshot for long."""
    health: Callable[[], list[str]] = field(default=list)
    production: bool = False
    upload_limit_bytes: int = UPLOAD_LIMIT_BYTES
    body_limit_bytes: int = BODY_LIMIT_BYTES
