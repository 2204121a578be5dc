"""What admins ask the commands service about its keys; it alone can open them."""

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog

from commands.authorisation import ROTATE_KEK
from commands.principal import Principal
from domain.shared.errors import ImeweError
from ops.eventstore.rotation import KekRotation, RotationStatus
from ops.messaging.administration import Handler

AGAIN_S = 5.0

log = structlog.get_logger()


class KeyDesk:
    """Answers ``imewe.admin.commands.rotate_kek`` and ``.kek``: ``kek_id``, ``running``, ``left``
    (keys to move). The moving goes on after the answer."""

    def __init__(self, rotation: KekRotation) -> None:
        self._rotation = rotation
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
        begun = await asyncio.to_thread(self._rotation.begin)
        log.info("another key-encryption key", by=str(person), left=begun.left)
        self.resume()
        return _told(begun)

    async def _status(self, person: Principal, asked: dict[str, Any]) -> dict[str, Any]:
        return _told(await asyncio.to_thread(self._rotation.status))

    async def _move(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._rotation.finish)
            except ImeweError as error:
                log.warning("keys are not moved yet", problem=str(error))
                await asyncio.sleep(AGAIN_S)
            else:
                return


def _told(status: RotationStatus) -> dict[str, Any]:
    return status._asdict()
