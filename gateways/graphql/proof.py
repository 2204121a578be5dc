"""What the notary signed, as it tells it itself: heads, keys, and whether all is well."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Self

import strawberry

from domain.shared.errors import ImeweError
from gateways.graphql.context import Info
from gateways.graphql.fields import described, resolved
from gateways.graphql.pages import Connection, page_size
from gateways.graphql.payloads import Payload
from gateways.graphql.problems import problem_of
from gateways.graphql.scalars import Instant, Position
from projections.querying import Cursor

SERVICE = "notary"


@strawberry.type(description="What the notary signed over the first events of the log.")
class AuditHead:
    size: Position = described("How many events it covers, which is the position of the last.")
    root: str = described("Hex: the hash over these events, in order.")
    map_root: str = described("Hex: the hash over the last event of every object.")
    time: Instant = described("When it was signed, by the notary's clock.")
    signed_by: list[str] = described("The names of the keys.")
    note: str = described("The signed text itself (C2SP checkpoint), to be kept elsewhere.")

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From the notary's answer."""
        return cls(
            size=Position(told["size"]),
            root=told["root"],
            map_root=told["map_root"],
            time=_instant(told["time"]),
            signed_by=told["signed_by"],
            note=told["note"],
        )


@strawberry.type(description="A key that signs heads, or did.")
class AuditKey:
    number: int = described("1 for the log's first.")
    from_size: Position = described("It signs heads of this size and above, until the next key.")
    verifier: str = described("The public key as a line of text (C2SP verifier key).")
    time: Instant = described("When it was made known.")
    note: str = described("The text that says so, signed by the key before and by itself.")

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From the notary's answer."""
        return cls(
            number=told["number"],
            from_size=Position(told["from_size"]),
            verifier=told["verifier"],
            time=_instant(told["time"]),
            note=told["note"],
        )


@strawberry.type(description="Why the notary signs no more: the log is not what it was.")
class AuditFlaw:
    sequence: Position = described("The first event that is not as it should be.")
    reason: str = described("What is wrong with it.")

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From the notary's answer."""
        return cls(sequence=Position(told["sequence"]), reason=told["reason"])


@strawberry.type(description="Where signed texts are written besides the log's own server.")
class AuditPlace:
    name: str = described("As the admin called it.")
    kind: str = described("file, folder, http or mail.")
    to: str = described("The path or address.")
    delivered: int = described("The last signed text that it has for certain, by number.")
    problem: str = described("Why the last try failed, or empty.")


@strawberry.type(description="How far the log is signed, and whether all is well.")
class AuditStatus:
    phase: str = described("starting, comparing, following or stopped_by_flaw.")
    origin: str = described("The log's name in all that is signed; empty before the first key.")
    size_signed: Position = described("How many events the newest head covers.")
    unsigned_tail: int = described("How many events came since.")
    key_number: int = described("The number of the key that signs now; 0 before the first.")
    flaw: AuditFlaw | None = described("What stopped the notary; null: nothing.")
    trouble: str = described("What it waits for, or empty.")
    places: list[AuditPlace] = described("Where signed texts are written, and how that goes.")

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From the notary's answer."""
        flaw = told["flaw"]
        return cls(
            phase=told["phase"],
            origin=told["origin"],
            size_signed=Position(told["signed"]),
            unsigned_tail=told["unsigned_tail"],
            key_number=told["key"],
            flaw=AuditFlaw.of(flaw) if flaw else None,
            trouble=told["trouble"],
            places=[AuditPlace(**place) for place in told["places"]],
        )


@strawberry.type(description="About the notary's key.")
class AuditKeyPayload(Payload):
    key: AuditKey | None = strawberry.field(default=None, description="The new key.")


@strawberry.type
class ProofQuery:
    """For admins and auditors; the notary itself checks the right."""

    @resolved("The newest signed head of the log, or null while there is none.")
    async def audit_head(self, info: Info) -> AuditHead | None:
        page = await _ask(info, "heads", first=1)
        return AuditHead.of(page["heads"][0]) if page["heads"] else None

    @resolved("Signed heads, the newest first. Go on with the end cursor as before.")
    async def audit_heads(
        self,
        info: Info,
        first: Annotated[int, strawberry.argument(description="How many, 1 to 100.")] = 50,
        before: Annotated[
            str | None, strawberry.argument(description="Only what is older than this.")
        ] = None,
    ) -> Connection[AuditHead]:
        size = page_size(first)
        place = Cursor.decode(before, field="before").position if before else None
        page = await _ask(info, "heads", first=size, before=place)
        found = [(int(told["at"]), AuditHead.of(told)) for told in page["heads"]]
        return Connection.of(found, has_more=page["has_more"], started=before is not None)

    @resolved("Every key that signs heads or did, the oldest first.")
    async def audit_keys(self, info: Info) -> list[AuditKey]:
        return [AuditKey.of(told) for told in (await _ask(info, "keys"))["keys"]]

    @resolved("How far the log is signed, and whether all is well.")
    async def audit_status(self, info: Info) -> AuditStatus:
        return AuditStatus.of(await _ask(info, "status"))


@strawberry.type
class ProofMutation:
    """For admins."""

    @resolved("Sign with a new key from now on; the old one and the new one sign that.")
    async def rotate_audit_key(self, info: Info) -> AuditKeyPayload:
        try:
            return AuditKeyPayload(key=AuditKey.of(await _ask(info, "rotate")))
        except ImeweError as error:
            info.context.tell_denial(error, action="RotateNotaryKey")
            return AuditKeyPayload(problems=[problem_of(error)])


async def _ask(info: Info, verb: str, **payload: Any) -> dict[str, Any]:
    caller = info.context.caller
    caller.person()
    administration = info.context.gateway.administration
    return await administration.ask(SERVICE, verb, payload, token=caller.token)


def _instant(text: str) -> Instant:
    return Instant(datetime.fromisoformat(text))
