"""What admins and auditors may ask the notary."""

import asyncio
from dataclasses import asdict
from typing import Any

from nats.aio.client import Client

from commands.authorisation import READ_PROOF, ROTATE_NOTARY_KEY
from commands.principal import Principal
from domain.shared.checks import within
from domain.shared.errors import ImeweError, InvalidInputError
from ops.messaging.administration import ASKING, Handler
from ops.notary.head_stream import HeadStream, Signed
from ops.notary.heads import Head, NoteError, read_note
from ops.notary.keys import Rotation
from ops.notary.notary import Notary
from ops.notary.publishing import Publisher
from ops.notary.steps import tell_step

PAGE_LIMIT = 100


class NotaryDesk:
    """Answers by JSON values; ``handlers`` is what an ``AdministrationDesk`` takes."""

    def __init__(
        self, client: Client, notary: Notary, stream: HeadStream, publisher: Publisher
    ) -> None:
        self._client = client
        self._notary = notary
        self._stream = stream
        self._publisher = publisher

    def handlers(self) -> dict[str, tuple[str, Handler]]:
        """By verb: the right it needs, and what obeys it."""
        return {
            "status": (READ_PROOF, self._status),
            "heads": (READ_PROOF, self._heads),
            "keys": (READ_PROOF, self._keys),
            "rotate": (ROTATE_NOTARY_KEY, self._rotate),
        }

    async def _status(self, _: Principal, __: dict[str, Any]) -> dict[str, Any]:
        status = await asyncio.to_thread(self._notary.status)
        keys = self._notary.known_keys()
        return {
            **asdict(status),
            "phase": status.phase.value,
            "flaw": status.flaw._asdict() if status.flaw else None,
            "unsigned_tail": max(0, status.log_end - status.signed),
            "key": keys[-1][0].number if keys else 0,
            "places": await asyncio.to_thread(self._publisher.status),
        }

    async def _heads(self, _: Principal, asked: dict[str, Any]) -> dict[str, Any]:
        first, before = asked.get("first", 1), asked.get("before")
        if type(first) is not int or type(before) not in (int, type(None)):
            raise InvalidInputError("first and before are numbers", field="first")
        return await asyncio.to_thread(self._page, within("first", first, 1, PAGE_LIMIT), before)

    def _page(self, first: int, before: int | None) -> dict[str, Any]:
        found: list[dict[str, Any]] = []
        while stretch := self._stream.newest(before=before, limit=PAGE_LIMIT):
            for signed in stretch:
                if len(found) == first:
                    return {"heads": found, "has_more": True}
                found += _head(signed)
                before = signed.sequence
        return {"heads": found, "has_more": False}

    async def _keys(self, _: Principal, __: dict[str, Any]) -> dict[str, Any]:
        return {"keys": [_key(key, note) for key, note in self._notary.known_keys()]}

    async def _rotate(self, _: Principal, __: dict[str, Any]) -> dict[str, Any]:
        await self._tell("begun", resource=f"key {len(self._notary.known_keys()) + 1}")
        try:
            rotation = await asyncio.to_thread(self._notary.rotate)
        except ImeweError as error:
            await self._tell("failed", reason=error.message)
            raise
        await self._tell("done", resource=f"key {rotation.number}", reason=rotation.key.text)
        return _key(*self._notary.known_keys()[-1])

    async def _tell(self, outcome: str, **told: str) -> None:
        await tell_step(self._client, "rotate", outcome, token=ASKING.get(), **told)


def _head(signed: Signed) -> list[dict[str, Any]]:
    """None for a note about keys, or for one that nobody can have signed."""
    if signed.is_key:
        return []
    try:
        note = read_note(signed.note)
        head = Head.read(note.text)
    except NoteError:
        return []
    return [
        {
            "at": signed.sequence,
            "size": head.size,
            "root": head.root.hex(),
            "map_root": head.map_root.hex(),
            "time": head.time,
            "signed_by": [each.name for each in note.signatures],
            "note": signed.note,
        }
    ]


def _key(key: Rotation, note: str) -> dict[str, Any]:
    return {
        "number": key.number,
        "from_size": key.size,
        "verifier": key.key.text,
        "time": key.time,
        "note": note,
    }
