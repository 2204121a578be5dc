"""The commands service without its connection: bytes in, bytes out."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
import structlog

from commands.accounts import handlers as _accounts
from commands.accounts.certificate import CertificateDesk
from commands.accounts.erasing import Erasing
from commands.accounts.login import Login
from commands.accounts.messages import EraseSubject
from commands.accounts.revealing import Revealing
from commands.auditing.desk import AuditDesk
from commands.builds import handlers as _builds
from commands.bus import Bus
from commands.dispatches import handlers as _dispatches
from commands.inventories import handlers as _inventories
from commands.jobs import handlers as _jobs
from commands.nodes import handlers as _nodes
from commands.organisations import handlers as _organisations
from commands.parts import handlers as _parts
from commands.periods import handlers as _periods
from commands.wire import (
    AUDIT_READ,
    AUDIT_STEP,
    AUTH_CERTIFICATE,
    AUTH_REVEAL,
    Request,
    read_request,
    write_answer,
    write_refusal,
)
from domain.shared.errors import ImeweError, InvalidInputError

FEATURES = (
    _accounts,
    _builds,
    _dispatches,
    _inventories,
    _jobs,
    _nodes,
    _organisations,
    _parts,
    _periods,
)
"""Their import fills the register of handlers."""

log = structlog.get_logger()


class CommandService:
    """Answers every request, whatever comes; only typed refusals are told, all else is logged."""

    def __init__(
        self,
        bus: Bus,
        login: Login,
        revealing: Revealing,
        audit: AuditDesk,
        *,
        erasing: Erasing,
        certificates: CertificateDesk,
    ) -> None:
        self._bus = bus
        self._erasing = erasing
        self._certificates = certificates
        self._login = login
        self._revealing = revealing
        self._audit = audit

    def command(self, subject: str, headers: Mapping[str, str] | None, body: bytes) -> bytes:
        """Answer a message on ``imewe.command.>``."""
        return _answered(subject, lambda: self._obey(read_request(subject, headers, body)))

    def log_in(self, body: bytes) -> bytes:
        """Answer a message on ``imewe.auth.login``: ``{"mail", "password", "address"}``."""
        return _answered("imewe.auth.login", lambda: self._login.log_in(*_credentials(body)))

    def reveal(self, headers: Mapping[str, str] | None, body: bytes) -> bytes:
        """Answer a message on ``imewe.auth.reveal``: ``{"account_ids"}`` and a person's token."""
        return _answered(AUTH_REVEAL, lambda: self._revealing.reveal(headers, body))

    def certificate(self, headers: Mapping[str, str] | None, body: bytes) -> bytes:
        """Answer a message on ``imewe.auth.certificate``: ``{"subject_id"}`` and a token."""
        return _answered(AUTH_CERTIFICATE, lambda: self._certificates.read(headers, body))

    def _obey(self, request: Request) -> dict[str, Any]:
        """An order to erase somebody is answered when nothing is left, with the certificate."""
        answer = self._bus.obey(request)
        if request.name != EraseSubject.__name__:
            return answer
        certificate = self._erasing.finish(answer["id"])
        return {**answer, "position": certificate.position, "certificate": certificate.told()}

    def audit(self, subject: str, headers: Mapping[str, str] | None, body: bytes) -> bytes:
        """Answer a message on ``imewe.audit.report``, ``.read`` or ``.step.<service>``."""
        stem, _, service = subject.rpartition(".")
        if stem == AUDIT_STEP:
            return _answered(subject, lambda: self._audit.step(service, headers, body))
        act = self._audit.read if subject == AUDIT_READ else self._audit.report
        return _answered(subject, lambda: act(headers, body))


def _answered(subject: str, act: Callable[[], dict[str, Any]]) -> bytes:
    try:
        return write_answer(act())
    except ImeweError as error:
        return write_refusal(error)
    except Exception:
        log.exception("command failed", subject=subject)
        return write_refusal(ImeweError("the command failed here; the log of the service says why"))


def _credentials(body: bytes) -> tuple[str, str, str]:
    try:
        told = orjson.loads(body)
        return str(told["mail"]), str(told["password"]), str(told.get("address", ""))
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise InvalidInputError("mail and password are needed", field="mail") from error
