"""One active runner: a lease in a KV bucket that also holds the position.

The key's revision fences: whoever has lost the lease cannot move the position any more. There is
no clock to agree on; a contender takes the lease when its revision has not moved for ``ttl_s`` of
the contender's own time, at once when the holder was a process of this machine that is gone.
"""

import asyncio
import os
import socket
from dataclasses import asdict, dataclass
from typing import Final

import nats.errors
import orjson
import psutil
import structlog
from nats.aio.client import Client
from nats.js.errors import KeyDeletedError, KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from domain.shared.errors import ConflictError, UnavailableError
from ops import failpoints

BUCKET: Final = "IMEWE_LEASES"
TTL_S: Final = 10.0
LOOK_S: Final = 1.0

log = structlog.get_logger()


class LeaseLostError(ConflictError):
    """Another runner is active now."""

    code = "LEASE_LOST"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Holding:
    """What the key holds. An empty ``host`` is nobody."""

    host: str
    pid: int
    started: float
    position: int

    @property
    def gone(self) -> bool:
        """Whether the holder certainly runs no more."""
        if not self.host:
            return True
        if self.host != socket.gethostname():
            return False
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) > 1.0
        except psutil.NoSuchProcess:
            return True


class Lease:
    """The lease named ``key``, on a connection of account LOG."""

    def __init__(self, client: Client, key: str, *, ttl_s: float = TTL_S) -> None:
        self._jetstream = client.jetstream()
        self._key = key
        self._ttl_s = ttl_s
        self._revision = 0
        self._bucket: KeyValue | None = None

    async def acquire(self) -> int:
        """Wait until it is ours; the position that the last holder stored."""
        seen, waited = -1, 0.0
        while True:
            holding, revision = await self._read()
            waited = waited + LOOK_S if revision == seen else 0.0
            seen = revision
            if holding is None or holding.gone or waited >= self._ttl_s:
                position = holding.position if holding else 0
                try:
                    await self._write(_mine(position), revision)
                    return position
                except LeaseLostError:
                    log.info("another runner took the lease", key=self._key)
            await asyncio.sleep(LOOK_S)

    async def keep(self, position: int) -> None:
        """Renew it and store the position. Raises ``LeaseLostError``, ``UnavailableError``."""
        await self._write(_mine(position), self._revision)
        failpoints.reach("processes.position.stored")

    async def give_up(self, position: int) -> None:
        """Store the position and let the next runner in at once."""
        await self._write(_Holding(host="", pid=0, started=0.0, position=position), self._revision)

    async def _read(self) -> tuple[_Holding | None, int]:
        try:
            entry = await (await self._open()).get(self._key)
        except (KeyNotFoundError, KeyDeletedError):
            return None, 0
        except (nats.errors.Error, OSError) as problem:
            raise UnavailableError(f"the leases cannot be read: {problem}") from problem
        return _Holding(**orjson.loads(entry.value or b"{}")), int(entry.revision or 0)

    async def _write(self, holding: _Holding, revision: int) -> None:
        value = orjson.dumps(asdict(holding))
        try:
            self._revision = await (await self._open()).update(self._key, value, last=revision)
        except KeyWrongLastSequenceError as error:
            raise LeaseLostError(f"{self._key} is held by another runner") from error
        except (nats.errors.Error, OSError) as problem:
            raise UnavailableError(f"the lease cannot be written: {problem}") from problem

    async def _open(self) -> KeyValue:
        if self._bucket is None:
            self._bucket = await self._jetstream.key_value(BUCKET)
        return self._bucket


def _mine(position: int) -> _Holding:
    return _Holding(
        host=socket.gethostname(),
        pid=os.getpid(),
        started=psutil.Process().create_time(),
        position=position,
    )
