"""The whole write side in memory: people, services and bridges send commands to it."""

import json
from itertools import count
from typing import Any, cast
from uuid import UUID

from argon2 import PasswordHasher
from joserfc.jwk import OKPKey

from commands.accounts.authentication import Authentication
from commands.accounts.certificate import CertificateDesk
from commands.accounts.erasing import Erasing
from commands.accounts.login import Attempts, Login
from commands.accounts.revealing import Revealing
from commands.application import Imewe
from commands.auditing.desk import AuditDesk
from commands.auditing.entry import Entry
from commands.auditing.sealing import SealingLog, opened_address
from commands.auditing.trail import Trail
from commands.bus import Bus
from commands.idempotency import Once
from commands.service import CommandService
from commands.tokens import Signer, Verifier
from commands.wire import Request
from commands.world import Ports
from domain.account.roles import Role
from domain.shared.aggregate import ImeweAggregate
from domain.shared.errors import StorageFullError
from domain.shared.identifiers import derived
from domain.shared.recorded import Envelope
from ops.eventstore.envelope import Record, envelope_of
from ops.eventstore.mapper import event_of, occurred_at
from tests.fake_ports import (
    DIGEST,
    FakeAnswers,
    FakeArtifacts,
    FakeAuditLog,
    FakeClock,
    FakeSecrets,
)
from tests.memory_log import ENVIRONMENT, MemoryLog

ORG = str(derived("test", "organisation"))
OTHER_ORG = str(derived("test", "another organisation"))
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
KEY = OKPKey.generate_key("Ed25519")
PROFILE = {"process": "fdm", "materials": ["PLA"], "max_size": {"x": 250, "y": 210, "z": 210}}
PART: dict[str, Any] = {"name": "Hook", "artifact_digest": DIGEST, "material": "PLA"}
JOB: dict[str, Any] = {"name": "Hooks", "parts": [PART]}
NO_FIGURES = {"duration_ms": 1, "energy_j": 1, "material_mm3": 1, "material_mg": 1}


def account_id(name: str) -> str:
    """The id of a person of these tests."""
    return str(derived("test", "account", name))


class WriteSide:
    """``bus`` over a log in memory. Use ``close`` at the end."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.secrets = FakeSecrets()
        self.artifacts = FakeArtifacts()
        self.audit_log = FakeAuditLog(self.clock)
        self.answers = FakeAnswers()
        self.signer = Signer(KEY.as_pem(private=True))
        self.application = Imewe(ENVIRONMENT)
        self.people = Authentication(self.secrets, hasher=CHEAP)
        self.full = False
        self.once: Once
        self.bus: Bus
        self.service: CommandService
        self.restart()
        self._numbers = count(1)
        self.artifacts.add(ORG)

    @property
    def log(self) -> MemoryLog:
        return cast("MemoryLog", self.application.recorder)

    def restart(self) -> None:
        """A new copy of the service on the same log, secrets and kept answers."""
        self.once = Once(self.answers, key=b"k" * 32)
        self.trail = Trail(SealingLog(self.audit_log, self.people), clock=self.clock)
        verifier = Verifier(
            KEY.as_pem(private=False), clock=self.clock, is_gone=self.people.is_erased
        )
        self.bus = Bus(
            Ports(
                application=self.application, authentication=self.people, artifacts=self.artifacts
            ),
            verifier=verifier,
            once=self.once,
            clock=self.clock,
            demand_room=self.demand_room,
            trail=self.trail,
        )
        login = Login(
            self.application,
            self.people,
            trail=self.trail,
            clock=self.clock,
            mail_key=b"m" * 32,
            attempts=Attempts(lambda: 0.0),
        )
        desk = AuditDesk(
            self.trail, self.audit_log, self.people, verifier=verifier, clock=self.clock
        )
        revealing = Revealing(self.application, self.people, verifier=verifier)
        self.erasing = Erasing(self.application, self.people, self.bus, self.answers)
        self.service = CommandService(
            self.bus,
            login,
            revealing,
            desk,
            erasing=self.erasing,
            certificates=CertificateDesk(self.application, verifier=verifier),
        )

    @property
    def entries(self) -> list[Entry]:
        """The audit trail so far, as its readers see it."""
        written = [each.entry for each in self.audit_log.written]
        return [opened_address(entry, self.people) for entry in written]

    def demand_room(self) -> None:
        if self.full:
            raise StorageFullError("the log's disk is full; nothing was recorded")

    def close(self) -> None:
        self.once.close()
        self.application.close()

    def token(self, person: str, *roles: Role, organisation_id: str = ORG) -> str:
        """A token of a person of these tests, for a quarter of an hour."""
        return self.signer.sign(
            account_id=account_id(person),
            name=person,
            grants=[{"role": role.value, "organisation_id": organisation_id} for role in roles],
            token_id="t",
            now=self.clock.now(),
            ttl_s=900,
        )

    def send(self, name: str, payload: dict[str, Any], *, by: str, **more: str) -> dict[str, Any]:
        """Send as ``user/<name>/<role>``, ``service/<id>`` or ``bridge/<id>``."""
        return self.bus.obey(self.request(name, payload, by=by, **more))

    def request(
        self,
        name: str,
        payload: dict[str, Any],
        *,
        by: str,
        command_id: str = "",
        organisation_id: str = "",
        **more: str,
    ) -> Request:
        kind, sender, *role = by.split("/")
        if kind == "user":
            more["token"] = self.token(
                sender, *(Role(word) for word in role), organisation_id=organisation_id or ORG
            )
            kind, sender = "service", "gateway"
        return Request(
            sender_kind=kind,
            sender_id=sender,
            name=name,
            body=json.dumps(payload).encode(),
            command_id=command_id or f"c{next(self._numbers)}",
            organisation_id=organisation_id or ORG,
            **more,
        )

    def load(self, answer: dict[str, Any]) -> Any:
        """The aggregate that an answer names."""
        return self.application.load(UUID(answer["id"]))

    @property
    def topics(self) -> list[str]:
        """What happened so far."""
        return [record.topic.removeprefix("imewe.") for record in self.log.records]

    def refolded(self, aggregate: ImeweAggregate) -> Any:
        """What the log alone makes of it."""
        made: Any = None
        for record in self.log.records:
            if record.aggregate == str(aggregate.id):
                made = event_of(record).mutate(made)
        return made

    def last(self) -> Record:
        return self.log.records[-1]

    def last_envelope(self) -> Envelope:
        """What the last event tells beside itself."""
        return envelope_of(self.last().headers, occurred_at=occurred_at(self.last()))
