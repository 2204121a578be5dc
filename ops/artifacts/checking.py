"""Compares every stored file with its digest, as after a restore."""

import hashlib

from nats.aio.client import Client

from ops.artifacts.bucket import Bucket
from ops.artifacts.store import BUCKET


async def damaged_artifacts(client: Client, *, bucket: str = BUCKET) -> tuple[int, list[str]]:
    """How many files were looked at, and the names of those whose bytes are not theirs."""
    stored, count, damaged = Bucket(client, bucket), 0, []
    async for meta in stored.objects():
        digest = hashlib.sha256()
        async for chunk in stored.chunks(meta):
            digest.update(chunk)
        count += 1
        if digest.digest() != meta.sha256:
            damaged.append(meta.name)
    return count, damaged
