"""Stored files as files on disk, for programs that can read nothing else."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from domain.ports import ArtifactStore

PIECE_BYTES: Final = 256 * 1024


async def fetch(store: ArtifactStore, digest: str, path: Path, *, organisation_id: str) -> None:
    """Write a stored file to ``path``, which holds the whole or is of no use."""
    file = await asyncio.to_thread(path.open, "wb")
    with file:
        async for chunk in store.open(digest, organisation_id=organisation_id):
            await asyncio.to_thread(file.write, chunk)


async def pieces(path: Path) -> AsyncIterator[bytes]:
    """The bytes of a file, for ``ArtifactStore.put``."""
    file = await asyncio.to_thread(path.open, "rb")
    with file:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece
