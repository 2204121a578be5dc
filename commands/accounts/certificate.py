"""The proof that a person was erased, for the admin's papers: as values and as text."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final
from uuid import UUID

import orjson

from commands.application import Imewe, Recorded
from commands.authorisation import READ_CERTIFICATE, rules_for
from commands.tokens import Verifier
from commands.wire import TOKEN
from domain.account.aggregate import Account
from domain.account.states import Erasure
from domain.shared.errors import InvalidInputError, NotFoundError

STAYS: Final = (
    "sealed texts (ciphertext) in the log, the read models, snapshots, exports and backups:"
    " without the key nobody can open them",
    "the account's id as the actor of events, its roles, and times: the history stays whole",
    "copies outside of Imewe, for example backups of the store of secrets made before",
)
CHECK: Final = (
    "the event named here stands in the log: imewe events list --about {subject}",
    "the log verifies as before: imewe audit verify",
    "a key that turns up is the destroyed one if 'sha256:' and the hex SHA-256 of"
    " 'imewe data key' and the key's 32 bytes is the fingerprint",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What was destroyed, when, by whose order, and where the log says so.

    Times are UTC text; ``position`` is that of ``Account.Erased``. ``key_id`` is empty for a
    person who never had a key.
    """

    subject_id: str
    organisation_id: str
    key_id: str
    algorithm: str
    key_fingerprint: str
    destroyed: tuple[str, ...]
    ordered_by: str
    ordered_at: str
    ordered_position: int
    erased_at: str
    event_id: str
    position: int
    hash: str
    previous_hash: str

    @property
    def stays(self) -> list[str]:
        """What erasure does not destroy."""
        return list(STAYS)

    @property
    def check(self) -> list[str]:
        """How anybody can check it."""
        return [line.format(subject=self.subject_id) for line in CHECK]

    def told(self) -> dict[str, Any]:
        """As an answer holds it; ``text`` is for people."""
        return {**asdict(self), "stays": self.stays, "check": self.check, "text": self.text()}

    def text(self) -> str:
        """For people."""
        lines = [
            "CERTIFICATE OF ERASURE",
            "",
            f"Subject         {self.subject_id}",
            f"Organisation    {self.organisation_id}",
            f"Ordered         {self.ordered_at} by {self.ordered_by}"
            f" (position {self.ordered_position})",
            f"Erased          {self.erased_at}",
            f"Key             {self.key_id} ({self.algorithm})",
            f"Fingerprint     {self.key_fingerprint}",
            f"Destroyed       {', '.join(self.destroyed)}",
            f"Event           {self.event_id} at position {self.position}",
            f"Hash            {self.hash}",
            f"Hash before     {self.previous_hash}",
            "",
            "What stays:",
            *(f"- {line}" for line in self.stays),
            "",
            "How to check:",
            *(f"- {line}" for line in self.check),
        ]
        return "\n".join(lines) + "\n"


class CertificateDesk:
    """Answers ``imewe.auth.certificate``, which only the gateway may send."""

    def __init__(self, application: Imewe, *, verifier: Verifier) -> None:
        self._application = application
        self._verifier = verifier

    def read(self, headers: Mapping[str, str] | None, body: bytes) -> dict[str, Any]:
        """``{"subject_id"}`` to ``{"certificate": {...} or None}`` for an admin or auditor of the
        person's organisation. Raises ``ForbiddenError``, and ``NotFoundError`` for nobody."""
        person = self._verifier.verify((headers or {}).get(TOKEN, ""))
        account = self._application.find(_subject_id(body))
        places = person.scope.organisations
        if not isinstance(account, Account) or account.organisation_id not in places:
            raise NotFoundError("there is no such person", field="subject_id")
        rules_for(READ_CERTIFICATE, person, account.organisation_id)
        if account.erasure != Erasure.DONE:
            return {"certificate": None}
        return {"certificate": certificate_of(self._application, str(account.id)).told()}


def certificate_of(application: Imewe, account_id: str) -> Certificate:
    """From the account's own events. Raises ``NotFoundError`` when it was not erased."""
    events = {each.topic: each for each in application.recorded(UUID(account_id))}
    begun = events.get(Account.ErasureBegun.TOPIC)
    erased = events.get(Account.Erased.TOPIC)
    if begun is None or erased is None:
        raise NotFoundError("this person was not erased", field="subject_id")
    ordered, done = orjson.loads(begun.body), orjson.loads(erased.body)
    return Certificate(
        subject_id=account_id,
        organisation_id=erased.headers.get("Imewe-Org", ""),
        key_id=ordered["key"],
        algorithm=ordered["algorithm"],
        key_fingerprint=ordered["fingerprint"],
        destroyed=tuple(done["destroyed"]),
        ordered_by=_actor(begun),
        ordered_at=begun.headers.get("Imewe-Recorded", ""),
        ordered_position=begun.sequence,
        erased_at=erased.headers.get("Imewe-Recorded", ""),
        event_id=erased.headers.get("Imewe-Event", ""),
        position=erased.sequence,
        hash=erased.headers.get("Imewe-Hash", ""),
        previous_hash=erased.headers.get("Imewe-Prev-Hash", ""),
    )


def _subject_id(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["subject_id"])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInputError("subject_id is needed", field="subject_id") from error


def _actor(event: Recorded) -> str:
    return f"{event.headers.get('Imewe-Actor-Kind', '')}/{event.headers.get('Imewe-Actor', '')}"
