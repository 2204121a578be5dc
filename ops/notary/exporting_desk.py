"""Proof files for people far away, piece by piece: one answer must stay under a megabyte.

``export`` begins one and names it, ``export_more`` gives the next piece until it is done. It is
made as it is fetched; who stops asking is forgotten after two minutes. The audit trail says who
begins one, of what, and how it ended.
"""

import asyncio
import time
import zlib
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from nats.aio.client import Client as NatsClient

from commands.authorisation import READ_PROOF, permitted_places
from commands.principal import Principal
from domain.shared.errors import ImeweError, NotFoundError, UnavailableError
from ops.eventstore.client import Client
from ops.messaging.administration import ASKING, Handler
from ops.notary.exporting_whole import Wanted, proof_file
from ops.notary.steps import tell_step

PIECE_BYTES = 400 << 10
PIECE_S = 3.0
"""After so long an answer is given, however little there is: asking again shows patience."""
IDLE_S = 120.0
AT_ONCE = 8
BROKEN = "broken off"


@dataclass(slots=True)
class _Begun:
    owner: str
    token: str
    resource: str
    parts: Iterator[bytes]
    size: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    used: float = field(default_factory=time.monotonic)
    left: bytes = b""


class ExportDesk:
    """``handlers`` is what an ``AdministrationDesk`` takes. ``app`` reaches the audit trail,
    ``client`` is one of the LOG account."""

    def __init__(self, app: NatsClient, client: Client, home: Path) -> None:
        self._app = app
        self._client = client
        self._home = home
        self._begun: dict[str, _Begun] = {}

    def handlers(self) -> dict[str, tuple[str, Handler]]:
        """By verb: the right it needs, and what obeys it."""
        return {"export": (READ_PROOF, self._begin), "export_more": (READ_PROOF, self._more)}

    async def _begin(self, principal: Principal, asked: dict[str, Any]) -> dict[str, Any]:
        await self._forget_idle()
        if len(self._begun) >= AT_ONCE:
            raise UnavailableError("too many exports at once", remedy="try again in two minutes")
        wanted = Wanted.of(asked, places=permitted_places(READ_PROOF, principal))
        name = str(uuid4())
        begun = _Begun(
            owner=principal.id,
            token=ASKING.get(),
            resource=wanted.words,
            parts=proof_file(self._client, self._home, wanted),
        )
        await self._tell(begun, "begun")
        self._begun[name] = begun
        return {"export": name}

    async def _more(self, principal: Principal, asked: dict[str, Any]) -> dict[str, Any]:
        name = str(asked.get("export"))
        begun = self._begun.get(name)
        if begun is None or begun.owner != principal.id:
            raise NotFoundError("there is no such export", remedy="begin it again")
        async with begun.turn:
            begun.used = time.monotonic()
            try:
                data, done = await asyncio.to_thread(_piece, begun)
            except BaseException as error:
                self._begun.pop(name, None)
                reason = error.message if isinstance(error, ImeweError) else BROKEN
                await self._tell(begun, "failed", reason)
                raise
            begun.size += len(data)
            if done:
                self._begun.pop(name, None)
                await self._tell(begun, "done", f"{begun.size} bytes")
        return {"data": b64encode(zlib.compress(data, 1)).decode(), "done": done}

    async def _forget_idle(self) -> None:
        now = time.monotonic()
        for name, begun in list(self._begun.items()):
            if now - begun.used > IDLE_S and not begun.turn.locked():
                del self._begun[name]
                await self._tell(begun, "failed", BROKEN)

    async def _tell(self, begun: _Begun, outcome: str, reason: str = "") -> None:
        told = {"resource": begun.resource, **({"reason": reason} if reason else {})}
        await tell_step(self._app, "export", outcome, token=begun.token, **told)


def _piece(begun: _Begun) -> tuple[bytes, bool]:
    """Up to ``PIECE_BYTES``, and whether that was all."""
    data, until = [begun.left], time.monotonic() + PIECE_S
    size, done = len(begun.left), False
    while size < PIECE_BYTES and time.monotonic() < until:
        part = next(begun.parts, None)
        if part is None:
            done = True
            break
        data.append(part)
        size += len(part)
    whole = b"".join(data)
    begun.left = whole[PIECE_BYTES:]
    return whole[:PIECE_BYTES], done and not begun.left
