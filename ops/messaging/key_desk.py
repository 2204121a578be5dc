"""What admins ask the commands service about its keys; it alone can open them."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from commands.authorisation import ROTATE_KEK
from commands.principal import Principal
from domain.shared.errors import ImeweError
from ops.eventstore.rotation import KekRotation, RotationStatus
from ops.messaging.administration import Handler

AGAIN_S = 5.0
STEP = "commands.rotate_kek"
"""Its action in the audit trail."""
Tell = Callable[[str, Principal | None], None]
"""Puts ``begun`` or ``done`` into the audit trail, for a person or by the service itself. Raises
``UnavailableError``."""

log = structlog.get_logger()


class KeyDesk:
    """Answers ``imewe.admin.commands.rotate_kek`` and ``.kek``: ``kek_id``, ``running``, ``left``
    (keys to move). The moving goes on after the answer. ``tell`` writes each step down."""

    def __init__(self, rotation: KekRotation, tell: Tell) -> None:
        self._rotation = rotation
        self._tell = tell
        self._asked_by: Principal | None = None
        self._moving: asyncio.Task[None] | None = None

    @property
    def handlers(self) -> Mapping[str, tuple[str, Handler]]:
        """For ``AdministrationDesk``."""
        return {"rotate_kek": (ROTATE_KEK, self._rotate), "kek": (ROTATE_KEK, self._status)}

    def resume(self) -> None:
        """Go on with a rotation that was interrupted."""
        if self._moving is None or self._moving.done():
            self._moving = asyncio.create_task(self._move())

    async def close(self) -> None:
        """Stop; the next start goes on."""
        if self._moving is not None:
            self._moving.cancel()
            await asyncio.gather(self._moving, return_exceptions=True)

    async def _rotate(self, person: Principal, asked: dict[str, Any]) -> dict[str, Any]:
        await asyncio.to_thread(self._tell, "begun", person)
        begun = await asyncio.to_thread(self._rotation.begin)
        self._asked_by = person
        self.resume()
        return _told(begun)

    async def _status(self, person: Principal, asked: dict[str, Any]) -> dict[str, Any]:
        return _told(await asyncio.to_thread(self._rotation.status))

    async def _move(self) -> None:
        while True:
            try:
                if await asyncio.to_thread(self._rotation.finish):
                    await asyncio.to_thread(self._tell, "done", self._asked_by)
            except ImeweError as error:
                log.warning("keys are not moved yet", problem=str(error))
                await asyncio.sleep(AGAIN_S)
            else:
                return


def _told(status: RotationStatus) -> dict[str, Any]:
    return status._asdict()
