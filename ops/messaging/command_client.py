"""Sends commands to the commands service: the ``CommandPort`` of gateway, bridge and processes."""

from collections.abc import Mapping, Sequence
from typing import Any

import nats.errors
import orjson
from nats.aio.client import Client

from commands.wire import (
    AUDIT_READ,
    AUDIT_REPORT,
    AUDIT_STEP,
    AUTH_CERTIFICATE,
    AUTH_REVEAL,
    TOKEN,
    Request,
    read_answer,
)
from domain.shared.errors import InvalidInputError, UnavailableError
from ops import failpoints

LOGIN = "imewe.auth.login"
PATIENCE_S = 15.0
"""Longer than the service itself waits for the log."""
LARGEST_BODY = 900_000
"""Bytes; nats-server takes 1 MiB with the headers."""


class NatsCommandClient:
    """``CommandPort`` on a connection whose user may publish as this principal.

    ``kind`` is ``service`` or ``bridge``; ``principal_id`` is one word.
    """

    def __init__(
        self, client: Client, *, kind: str, principal_id: str, timeout_s: float = PATIENCE_S
    ) -> None:
        self._client = client
        self._kind = kind
        self._id = principal_id
        self._timeout_s = timeout_s
        self._answered = f"{kind if kind == 'bridge' else principal_id}.answered"

    async def send(
        self,
        name: str,
        payload: Mapping[str, Any],
        *,
        command_id: str,
        token: str = "",
        organisation_id: str = "",
        causation: str = "",
        correlation: str = "",
        traceparent: str = "",
        address: str = "",
    ) -> dict[str, Any]:
        """Send one command and return its answer; see ``CommandPort``."""
        request = Request(
            sender_kind=self._kind,
            sender_id=self._id,
            name=name,
            body=orjson.dumps(payload),
            command_id=command_id,
            token=token,
            organisation_id=organisation_id,
            causation=causation,
            correlation=correlation,
            traceparent=traceparent,
            address=address,
        )
        answer = await _ask(
            self._client,
            request.subject,
            request.body,
            headers=request.headers,
            timeout_s=self._timeout_s,
        )
        failpoints.reach(self._answered, name)
        return answer


async def log_in(
    client: Client, *, mail: str, password: str, address: str = "", timeout_s: float = PATIENCE_S
) -> dict[str, Any]:
    """``account_id``, ``name`` and ``grants`` of the person. Raises ``UnauthenticatedError``."""
    body = orjson.dumps({"mail": mail, "password": password, "address": address})
    return await _ask(client, LOGIN, body, headers={}, timeout_s=timeout_s)


async def reveal(
    client: Client, account_ids: Sequence[str], *, token: str, timeout_s: float = PATIENCE_S
) -> dict[str, dict[str, str | None]]:
    """``mail`` and ``name`` of the people whom the token's person may read, by account id."""
    body = orjson.dumps({"account_ids": list(account_ids)})
    answer = await _ask(client, AUTH_REVEAL, body, headers={TOKEN: token}, timeout_s=timeout_s)
    return dict(answer["people"])


async def reveal_notes(
    client: Client, words: Sequence[str], *, token: str, timeout_s: float = PATIENCE_S
) -> dict[str, str | None]:
    """What people wrote, by its sealed word, as far as the token's person may read it."""
    body = orjson.dumps({"notes": list(words)})
    answer = await _ask(client, AUTH_REVEAL, body, headers={TOKEN: token}, timeout_s=timeout_s)
    return dict(answer["notes"])


async def read_certificate(
    client: Client, subject_id: str, *, token: str, timeout_s: float = PATIENCE_S
) -> dict[str, Any] | None:
    """The proof that a person was erased, or ``None``. Raises ``NotFoundError``."""
    body = orjson.dumps({"subject_id": subject_id})
    headers = {TOKEN: token}
    answer = await _ask(client, AUTH_CERTIFICATE, body, headers=headers, timeout_s=timeout_s)
    found: dict[str, Any] | None = answer["certificate"]
    return found


async def report_denial(
    client: Client, told: Mapping[str, Any], *, token: str, timeout_s: float = PATIENCE_S
) -> None:
    """Hand a refusal over to the audit trail; see ``commands.auditing.desk``."""
    headers = {TOKEN: token} if token else {}
    await _ask(client, AUDIT_REPORT, orjson.dumps(told), headers=headers, timeout_s=timeout_s)


async def report_step(
    client: Client, told: Mapping[str, Any], *, token: str = "", timeout_s: float = PATIENCE_S
) -> None:
    """Put a step of a service into the audit trail; see ``commands.auditing.desk.AuditDesk.step``.

    ``action`` is ``<service>.<verb>``; the connection's user must be one that may publish on
    ``imewe.audit.step.<service>``. Returns when it is written, else raises ``UnavailableError``.
    """
    service = str(told["action"]).partition(".")[0]
    headers = {TOKEN: token} if token else {}
    subject = f"{AUDIT_STEP}.{service}"
    await _ask(client, subject, orjson.dumps(told), headers=headers, timeout_s=timeout_s)


async def read_trail(
    client: Client,
    *,
    first: int,
    before: int | None,
    token: str,
    about: str | None = None,
    timeout_s: float = PATIENCE_S,
) -> dict[str, Any]:
    """A page of the audit trail: ``entries``, ``oldest``, ``has_more``."""
    body = orjson.dumps({"first": first, "before": before, "about": about})
    return await _ask(client, AUDIT_READ, body, headers={TOKEN: token}, timeout_s=timeout_s)


async def _ask(
    client: Client, subject: str, body: bytes, *, headers: dict[str, str], timeout_s: float
) -> dict[str, Any]:
    if len(body) > LARGEST_BODY:
        raise InvalidInputError(f"a command takes at most {LARGEST_BODY} bytes", field="body")
    try:
        message = await client.request(subject, body, timeout=timeout_s, headers=headers or None)
    except nats.errors.NoRespondersError as error:
        raise UnavailableError(
            "the commands service does not run; nothing was recorded", remedy="try again"
        ) from error
    except (nats.errors.Error, OSError) as error:  # nats-py's own time-out is one of its errors
        raise UnavailableError(
            "the commands service did not answer; it is not known whether it obeyed",
            remedy="try again with the same command id",
        ) from error
    return read_answer(message.data)
