"""Erasing people and telling them what is known about them; the keys that keys are wrapped by."""

from typing import Annotated, Any, Self

import strawberry
from strawberry.scalars import JSON

from commands.authorisation import EXPORT_SUBJECT, rules_for
from domain.shared.errors import ForbiddenError, ImeweError
from gateways.graphql.auditing import trail
from gateways.graphql.commanding import command
from gateways.graphql.context import Info
from gateways.graphql.fields import described, resolved
from gateways.graphql.pages import Connection, page_size, place
from gateways.graphql.payloads import Payload
from gateways.graphql.problems import Problem, problem_of
from gateways.graphql.scalars import Instant, Position
from gateways.graphql.types.audit import AuditEntry
from gateways.graphql.types.jobs import Job
from gateways.graphql.types.people import Account
from projections.accounts import queries as people
from projections.accounts.subjects import Subject, events_about_person, jobs_of_person
from projections.history import queries as history
from projections.history.rows import EventRow
from projections.jobs import queries as jobs

KEYS_SERVICE = "commands"
First = Annotated[int, strawberry.argument(description="How many, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on behind.")]
Before = Annotated[str | None, strawberry.argument(description="Only what is older than this.")]
CommandId = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="Your own name for this command; makes a retry safe."),
]


@strawberry.type(description="The proof that a person was erased.")
class ErasureCertificate:
    subject_id: strawberry.ID = described("The person's account.")
    organisation_id: strawberry.ID = described("The tenant that opened it.")
    key_id: str = described("The destroyed key, as the sealed texts name it.")
    algorithm: str = described("What it sealed with: A256GCM is AES-256-GCM.")
    key_fingerprint: str = described("By which the key would be recognised if it turned up.")
    destroyed: list[str] = described("What was destroyed, and looked for in vain.")
    ordered_by: str = described("Who ordered it: kind/id.")
    ordered_at: str = described("When: UTC.")
    ordered_position: Position = described("Account.ErasureBegun in the log.")
    erased_at: str = described("When it was done: UTC.")
    event_id: strawberry.ID = described("Account.Erased.")
    position: Position = described("Its place in the log.")
    hash: str = described("Its hash.")
    previous_hash: str = described("The hash of the account's event before.")
    stays: list[str] = described("What erasure does not destroy.")
    check: list[str] = described("How anybody can check it.")
    text: str = described("The same for people.")

    @classmethod
    def of(cls, told: dict[str, Any] | None) -> Self | None:
        """From the commands service's answer."""
        if told is None:
            return None
        places = ("ordered_position", "position")
        return cls(**{**told, **{name: Position(told[name]) for name in places}})


@strawberry.type(description="About a person who was erased.")
class EraseSubjectPayload(Payload):
    subject_id: strawberry.ID | None = strawberry.field(default=None, description="The account.")
    told: strawberry.Private[dict[str, Any] | None] = None

    @resolved("The proof; null when nothing was done.")
    def certificate(self) -> ErasureCertificate | None:
        return ErasureCertificate.of(self.told)


@strawberry.type(description="The key that wraps people's keys.")
class KeyEncryptionKey:
    id: str = described("Its name.")
    rotating: bool = described("Keys are being wrapped by it that an older one wrapped.")
    left: int = described("How many keys an older one still wraps.")

    @classmethod
    def of(cls, told: dict[str, Any]) -> Self:
        """From the commands service's answer."""
        return cls(id=told["kek_id"], rotating=told["running"], left=told["left"])


@strawberry.type(description="What the rotation has to do, or why it did not begin.")
class RotateKekPayload:
    problems: list[Problem] = strawberry.field(
        default_factory=list, description="Why nothing was done."
    )
    kek: KeyEncryptionKey | None = strawberry.field(
        default=None, description="The new one; ask for keyEncryptionKey until nothing is left."
    )


@strawberry.type(description="An event as the person it concerns may read it.")
class SubjectEvent:
    position: Position = described("Its place in the log.")
    event_id: strawberry.ID = described("Its id.")
    topic: str = described("Its stable name.")
    aggregate_id: strawberry.ID = described("What it is about.")
    organisation_id: strawberry.ID = described("The tenant.")
    actor: str = described("Who caused it: kind/id.")
    occurred_at: Instant = described("When it happened in the shop.")
    hash: str = described("sha256 over the event as it is stored, with its notes sealed.")
    stored: strawberry.Private[Any]

    @resolved("Its fields, notes in the clear. Name and mail stand in the account.")
    async def body(self, info: Info) -> JSON:
        return JSON(await info.context.notes.all_in_clear(self.stored))

    @classmethod
    def of(cls, row: EventRow) -> Self:
        """From a committed row."""
        return cls(
            position=Position(row.position),
            event_id=strawberry.ID(row.event_id),
            topic=row.topic,
            aggregate_id=strawberry.ID(row.aggregate_id),
            organisation_id=strawberry.ID(row.organisation_id),
            actor=f"{row.actor_kind}/{row.actor_id}",
            occurred_at=Instant(row.occurred_at),
            hash=row.hash,
            stored=row.body,
        )


@strawberry.type(description="All that is known about a person, in pages.")
class SubjectExport:
    account: Account = described("Profile and grants, in the clear.")

    @resolved("Orders of the person.")
    async def jobs(self, info: Info, first: First = 50, after: After = None) -> Connection[Job]:
        size, begin = page_size(first), place(after)
        async with info.context.reads.use(jobs.READS) as connection:
            page = await jobs_of_person(
                connection, _export_scope(info, self.account), first=size, after=begin
            )
        found = [(row.created, Job.of(row)) for row in page.items]
        return Connection.of(found, has_more=page.has_more, started=after is not None)

    @resolved("Events that the person caused, and those of the account.")
    async def events(
        self, info: Info, first: First = 50, after: After = None
    ) -> Connection[SubjectEvent]:
        size, begin = page_size(first), place(after)
        async with info.context.reads.use(history.READS) as connection:
            page = await events_about_person(
                connection, _export_scope(info, self.account), first=size, after=begin
            )
        found = [(row.position, SubjectEvent.of(row)) for row in page.items]
        return Connection.of(found, has_more=page.has_more, started=after is not None)

    @resolved("Log-ins and refusals, the newest first. Go on with the end cursor as before.")
    async def audit_entries(
        self, info: Info, first: First = 50, before: Before = None
    ) -> Connection[AuditEntry]:
        return await trail(info, first=first, before=before, about=str(self.account.id))


@strawberry.type
class ErasureQuery:
    """Fields of ``Query``."""

    @resolved("The proof that a person was erased, or null: for admins and auditors.")
    async def erasure_certificate(
        self, info: Info, subject_id: strawberry.ID
    ) -> ErasureCertificate | None:
        caller = info.context.caller
        caller.person()
        told = await info.context.gateway.people.certificate(str(subject_id), token=caller.token)
        return ErasureCertificate.of(told)

    @resolved("All that is known about a person: for the person, and for admins.")
    async def subject_export(self, info: Info, subject_id: strawberry.ID) -> SubjectExport | None:
        scope = info.context.scope
        async with info.context.reads.use(people.READS) as connection:
            found = await people.accounts_by_ids(connection, scope, [str(subject_id)])
        if not found:
            return None
        account = Account.of(found[str(subject_id)])
        _export_scope(info, account)
        return SubjectExport(account=account)

    @resolved("The key that wraps people's keys: for admins.")
    async def key_encryption_key(self, info: Info) -> KeyEncryptionKey:
        caller = info.context.caller
        caller.person()
        ask = info.context.gateway.administration.ask
        return KeyEncryptionKey.of(await ask(KEYS_SERVICE, "kek", {}, token=caller.token))


@strawberry.type
class ErasureMutation:
    """Fields of ``Mutation``."""

    @resolved(
        "Destroy for good what opens a person's texts; the account is closed by it. Nobody can"
        " take it back."
    )
    async def erase_subject(
        self, info: Info, subject_id: strawberry.ID, reason: str = "", command_id: CommandId = None
    ) -> EraseSubjectPayload:
        payload = {"subject_id": subject_id, "reason": reason}
        return await command(
            info,
            EraseSubjectPayload,
            "EraseSubject",
            payload,
            command_id=command_id,
            subject_id="id",
            told="certificate",
        )

    @resolved("Wrap people's keys by a new key-encryption key and destroy the old one.")
    async def rotate_kek(self, info: Info) -> RotateKekPayload:
        caller = info.context.caller
        try:
            caller.person()
            ask = info.context.gateway.administration.ask
            told = await ask(KEYS_SERVICE, "rotate_kek", {}, token=caller.token)
        except ImeweError as error:
            return RotateKekPayload(problems=[problem_of(error)])
        return RotateKekPayload(kek=KeyEncryptionKey.of(told))


def _export_scope(info: Info, account: Account) -> Subject:
    """Whose data, and in which organisations they may be read: the person's own everywhere.

    Raises ``ForbiddenError``.
    """
    person, subject_id = info.context.caller.person(), str(account.id)
    if person.id == subject_id:
        return Subject(account_id=subject_id, organisations=None)
    try:
        rules_for(EXPORT_SUBJECT, person, str(account.organisation_id))
    except ForbiddenError as error:
        info.context.tell_denial(error, action=EXPORT_SUBJECT, resource=f"account/{subject_id}")
        raise
    return Subject(account_id=subject_id, organisations=info.context.scope.audited)
