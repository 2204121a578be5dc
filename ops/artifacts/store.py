"""Content-addressed files in the JetStream object store.

The chunks of an upload go to a random name as they come, and one meta message, written last,
makes them a file under its digest. The digest is known only at the end, and nothing refers to the
chunks before: no copy, no rename, no file on disk beside, and a ``kill -9`` at any moment leaves
either a whole file or chunks that nobody can see, which ``sweep`` removes. The meta message expects
that nobody else wrote the name, so of two uploads of the same bytes one wins and the other takes
its own chunks away.
"""

import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Final

from nats.aio.client import Client
from nats.nuid import NUID

from domain.part.formats import ContentCheck
from domain.ports import ArtifactRef, Clock
from domain.shared.errors import (
    InvalidInputError,
    NotFoundError,
    StorageFullError,
    UnavailableError,
)
from ops.artifacts.bucket import AlreadyStoredError, Bucket, Meta

BUCKET: Final = "IMEWE_ARTIFACTS"
LIMIT_BYTES: Final = 1024**3
CHUNK_BYTES: Final = 256 * 1024
ABANDONED_AFTER: Final = timedelta(hours=1)
"""An upload that wrote nothing for so long was killed: a live one is refused by time-outs first."""
LONGEST_NAME: Final = 200
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class JetStreamArtifactStore:
    """``ArtifactStore`` over a NATS connection whose account holds the bucket.

    Writers need to publish ``$O.<bucket>.>`` and ``$JS.API.STREAM.{PURGE,INFO}.OBJ_<bucket>``;
    readers only ``$JS.API.DIRECT.GET.OBJ_<bucket>``. ``demand_room`` raises ``StorageFullError``
    while the disk, which is the log's too, is nearly full: it is asked before each chunk.
    """

    def __init__(
        self,
        client: Client,
        *,
        bucket: str = BUCKET,
        limit_bytes: int = LIMIT_BYTES,
        demand_room: Callable[[], None] = lambda: None,
    ) -> None:
        self._bucket = Bucket(client, bucket)
        self._limit = limit_bytes
        self._demand_room = demand_room
        self._nuid = NUID()

    async def put(
        self,
        chunks: AsyncIterator[bytes],
        *,
        organisation_id: str,
        name: str,
        format: str | None = None,
    ) -> ArtifactRef:
        """Store a stream; see ``ArtifactStore``. Memory stays at one chunk."""
        name = _clean(name)
        nuid = self._nuid.next().decode()
        check = ContentCheck(name, expected=format)
        upload = _Upload(self._bucket, nuid, check, self._limit, self._demand_room)
        try:
            await upload.take(chunks)
            ref = ArtifactRef(
                digest=upload.digest.hexdigest(),
                size=upload.size,
                format=upload.check.finish(),
                name=name,
            )
            kept = await self._commit(ref, upload, organisation_id)
        finally:
            if upload.written and not upload.sealed:
                with contextlib.suppress(UnavailableError):  # what is left then, sweep takes
                    await self._bucket.discard(nuid)
        return ref if kept else await self.info(ref.digest, organisation_id=organisation_id)

    async def info(self, digest: str, *, organisation_id: str) -> ArtifactRef:
        """The reference of a stored file. Raises ``NotFoundError``."""
        meta = await self._find(digest, organisation_id)
        return ArtifactRef(
            digest=digest,
            size=meta.size,
            format=meta.facts["format"],
            name=meta.facts["name"],
        )

    async def open(self, digest: str, *, organisation_id: str) -> AsyncIterator[bytes]:
        """The bytes of a stored file.

        The last chunk is held back until the digest of all of them fits, so that nobody ever
        holds a whole file that is not the one asked for.
        """
        meta = await self._find(digest, organisation_id)
        running, held = hashlib.sha256(), b""
        async for chunk in self._bucket.chunks(meta):
            running.update(chunk)
            if held:
                yield held
            held = chunk
        if running.hexdigest() != digest:
            raise UnavailableError(
                f"The stored file {digest[:12]} is damaged: its bytes do not give its digest.",
                remedy="Restore the file store from a backup.",
            )
        yield held

    async def sweep(self, clock: Clock) -> int:
        """Remove what killed uploads left, and say how many. Run it once when a service starts."""
        oldest = clock.now() - ABANDONED_AFTER
        stale = [s for s in await self._bucket.unfinished() if s.last_written < oldest]
        for upload in stale:
            await self._bucket.discard(upload.nuid)
        return len(stale)

    async def recall(self, key: str, *, organisation_id: str) -> str | None:
        """A note kept beside the files, such as the report on one; ``None`` when there is none."""
        meta = await self._bucket.meta(f"{organisation_id}/note/{key}")
        return meta.facts["text"] if meta else None

    async def remember(self, key: str, text: str, *, organisation_id: str) -> None:
        """Keep a note of what can be worked out again; the first one kept under a key stays."""
        meta = Meta(
            name=f"{organisation_id}/note/{key}",
            nuid="",
            size=0,
            chunks=0,
            sha256=hashlib.sha256(b"").digest(),
            facts={"text": text},
        )
        try:
            await self._bucket.commit(meta, replacing=0)
        except AlreadyStoredError:
            return

    async def _find(self, digest: str, organisation_id: str) -> Meta:
        known = _DIGEST.fullmatch(digest) is not None
        meta = await self._bucket.meta(f"{organisation_id}/{digest}") if known else None
        if meta is None or meta.deleted:
            raise NotFoundError(f"There is no file {digest[:64]}.", field="artifact")
        return meta

    async def _commit(self, ref: ArtifactRef, upload: "_Upload", organisation_id: str) -> bool:
        name = f"{organisation_id}/{ref.digest}"
        present = await self._bucket.meta(name)
        if present and not present.deleted:
            return False
        meta = Meta(
            name=name,
            nuid=upload.nuid,
            size=ref.size,
            chunks=upload.written,
            sha256=upload.digest.digest(),
            facts={"format": ref.format, "name": ref.name, "first": str(upload.first_sequence)},
        )
        upload.sealed = True
        try:
            await self._bucket.commit(meta, replacing=present.sequence if present else 0)
        except AlreadyStoredError:
            upload.sealed = False
            return False
        except StorageFullError:
            upload.sealed = False
            raise
        return True


class _Upload:
    """One upload on its way into the bucket."""

    def __init__(
        self,
        bucket: Bucket,
        nuid: str,
        check: ContentCheck,
        limit: int,
        demand_room: Callable[[], None],
    ) -> None:
        self._bucket = bucket
        self._limit = limit
        self._demand_room = demand_room
        self._chunk_bytes = min(CHUNK_BYTES, bucket.largest_message // 2)
        self.nuid = nuid
        self.check = check
        self.digest = hashlib.sha256()
        self.size = 0
        self.written = 0
        self.first_sequence = 0
        self.sealed = False
        """Set once the meta message may be stored: an answer that never came does not say so, and
        the chunks of what may be a file are never thrown away."""

    async def take(self, chunks: AsyncIterator[bytes]) -> None:
        """Store the stream in chunks of one size, whatever sizes it comes in."""
        waiting = bytearray()
        async for piece in chunks:
            self._look_at(piece)
            waiting += piece
            while len(waiting) >= self._chunk_bytes:
                await self._write(bytes(waiting[: self._chunk_bytes]))
                del waiting[: self._chunk_bytes]
        if waiting:
            await self._write(bytes(waiting))

    def _look_at(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > self._limit:
            raise InvalidInputError(
                f"The file is larger than the {self._limit} bytes this system takes.",
                field="file",
                remedy="Reduce the mesh, or ask an administrator to raise the limit.",
            )
        self.check.feed(piece)
        self.digest.update(piece)

    async def _write(self, chunk: bytes) -> None:
        self._demand_room()
        self.written += 1
        sequence = await self._bucket.append(self.nuid, chunk)
        self.first_sequence = self.first_sequence or sequence


def _clean(name: str) -> str:
    """The last part of a path, without control characters: what a person may be shown."""
    return _CONTROL.sub("", re.split(r"[/\\]", name)[-1])[-LONGEST_NAME:] or "unnamed"
