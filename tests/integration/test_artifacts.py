"""The file store on a real nats-server, under the contract's users."""

import asyncio
import os
import struct
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from nats.aio.client import Client

from domain.shared.errors import (
    InvalidInputError,
    NotFoundError,
    StorageFullError,
    UnavailableError,
)
from ops.artifacts.bucket import Bucket
from ops.artifacts.store import BUCKET, CHUNK_BYTES, JetStreamArtifactStore
from ops.messaging.connection import connect
from ops.messaging.server import EmbeddedNats
from ops.messaging.streams import app_streams, ask, ensure_app_streams
from ops.settings import LEAST_STORE_BYTES, Settings

PROGRAM = b"G21\nG90\nG1 X10 Y10 F600\n"
ROOT = Path(__file__).parents[2]


class Later:
    """A clock some hours ahead, to which every unfinished upload is old."""

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(hours=3)


@pytest.fixture
async def supervisor(fresh_nats: EmbeddedNats, fresh_settings: Settings) -> AsyncIterator[Client]:
    client = await connect(fresh_settings, "supervisor", allow_reconnect=False)
    await ensure_app_streams(client, store_bytes=fresh_nats.store_bytes)
    yield client
    await client.close()


@pytest.fixture
async def gateway(supervisor: Client, fresh_settings: Settings) -> AsyncIterator[Client]:
    client = await connect(fresh_settings, "gateway", allow_reconnect=False)
    yield client
    await client.close()


@pytest.fixture
def store(gateway: Client) -> JetStreamArtifactStore:
    return JetStreamArtifactStore(gateway)


async def pieces(body: bytes, size: int = 50_000) -> AsyncIterator[bytes]:
    for begun in range(0, len(body), size):
        yield body[begun : begun + size]


def stl(triangles: int) -> bytes:
    return bytes(80) + struct.pack("<I", triangles) + os.urandom(50 * triangles)


async def messages(client: Client) -> int:
    info = await ask(client, f"STREAM.INFO.OBJ_{BUCKET}")
    return int(info["state"]["messages"])


async def read(store: JetStreamArtifactStore, digest: str, organisation: str = "org-1") -> bytes:
    return b"".join([c async for c in store.open(digest, organisation_id=organisation)])


async def test_a_file_of_many_chunks_comes_back_whole(store: JetStreamArtifactStore) -> None:
    body = stl(100_000)
    ref = await store.put(pieces(body), organisation_id="org-1", name="wheel.stl")
    assert (ref.digest, ref.size, ref.format, ref.name) == (
        sha256(body).hexdigest(),
        len(body),
        "stl",
        "wheel.stl",
    )
    assert len(body) > 16 * CHUNK_BYTES
    assert await read(store, ref.digest) == body
    assert await store.info(ref.digest, organisation_id="org-1") == ref


async def test_the_bridge_reads_with_direct_get_alone(
    store: JetStreamArtifactStore, fresh_settings: Settings
) -> None:
    body = PROGRAM * 40_000
    ref = await store.put(pieces(body), organisation_id="org-1", name="a.gcode")
    bridge = await connect(fresh_settings, "bridge", allow_reconnect=False)
    try:
        assert await read(JetStreamArtifactStore(bridge), ref.digest) == body
    finally:
        await bridge.close()


async def test_the_nats_client_reads_the_same_bucket(
    store: JetStreamArtifactStore, supervisor: Client
) -> None:
    ref = await store.put(pieces(PROGRAM), organisation_id="org-1", name="a.gcode")
    bucket = await supervisor.jetstream().object_store(BUCKET)
    assert (await bucket.get(f"org-1/{ref.digest}")).data == PROGRAM


async def test_the_same_bytes_are_stored_once_in_an_organisation(
    store: JetStreamArtifactStore, supervisor: Client
) -> None:
    first = await store.put(pieces(PROGRAM), organisation_id="org-1", name="a.gcode")
    kept = await messages(supervisor)
    second = await store.put(pieces(PROGRAM), organisation_id="org-1", name="b.gcode")
    assert second == first
    assert await messages(supervisor) == kept


async def test_of_concurrent_uploads_of_the_same_bytes_one_is_kept(
    store: JetStreamArtifactStore, supervisor: Client
) -> None:
    body = stl(6000)
    uploads = [store.put(pieces(body), organisation_id="org-1", name=f"{i}.stl") for i in range(6)]
    refs = await asyncio.gather(*uploads)
    assert len(set(refs)) == 1
    assert await messages(supervisor) == 1 + -(-len(body) // CHUNK_BYTES)
    assert await read(store, refs[0].digest) == body


async def test_another_organisation_does_not_see_the_file(store: JetStreamArtifactStore) -> None:
    ref = await store.put(pieces(PROGRAM), organisation_id="org-1", name="a.gcode")
    with pytest.raises(NotFoundError):
        await store.info(ref.digest, organisation_id="org-2")
    with pytest.raises(NotFoundError):
        await read(store, ref.digest, "org-2")
    with pytest.raises(NotFoundError):
        await store.info("../" + ref.digest, organisation_id="org-1")


@pytest.mark.parametrize(
    ("body", "name", "why"),
    [
        (b"", "empty.stl", "is empty"),
        (stl(9000)[:-10], "cut.stl", "9000 triangles need 450084 bytes"),
        (os.urandom(700_000), "noise.stl", "is damaged or no STL"),
        (b"solid x\n facet normal 0 0 1\n", "cut.stl", "not endsolid"),
        (b"a letter\n" * 50_000, "letter.stl", "none of the accepted"),
        (b"\x89PNG\r\n" + os.urandom(600_000), "picture.stl", "is a PNG file"),
        (b"ISO-10303-21;\nHEADER;", "part.step", "is a STEP file"),
    ],
    ids=["empty", "cut binary", "noise", "cut text", "letter", "picture", "step"],
)
async def test_a_refused_file_leaves_nothing_behind(
    store: JetStreamArtifactStore, supervisor: Client, body: bytes, name: str, why: str
) -> None:
    with pytest.raises(InvalidInputError, match=why) as refused:
        await store.put(pieces(body), organisation_id="org-1", name=name)
    assert "STL" in refused.value.remedy
    assert await messages(supervisor) == 0


async def test_a_file_over_the_limit_is_refused_in_the_stream(
    gateway: Client, supervisor: Client
) -> None:
    store = JetStreamArtifactStore(gateway, limit_bytes=3 * CHUNK_BYTES)
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield PROGRAM * 1000

    with pytest.raises(InvalidInputError, match="larger than the 786432 bytes"):
        await store.put(endless(), organisation_id="org-1", name="big.gcode")
    assert given * len(PROGRAM) * 1000 < 4 * CHUNK_BYTES
    assert await messages(supervisor) == 0


async def test_an_upload_that_breaks_off_leaves_nothing_behind(
    store: JetStreamArtifactStore, supervisor: Client
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield PROGRAM * 1000
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.put(broken(), organisation_id="org-1", name="a.gcode")
    assert await messages(supervisor) == 0


async def test_a_full_store_refuses_and_keeps_what_it_has(
    store: JetStreamArtifactStore, supervisor: Client
) -> None:
    ref = await store.put(pieces(PROGRAM), organisation_id="org-1", name="a.gcode")
    (config,) = (s for s in app_streams(LEAST_STORE_BYTES) if s["name"].startswith("OBJ_"))
    await ask(supervisor, f"STREAM.UPDATE.OBJ_{BUCKET}", {**config, "max_bytes": 2_000_000})
    with pytest.raises(StorageFullError):
        await store.put(pieces(stl(80_000)), organisation_id="org-1", name="b.stl")
    assert await read(store, ref.digest) == PROGRAM
    assert await messages(supervisor) == 2


async def test_a_stored_chunk_that_changed_is_never_given_out_whole(
    store: JetStreamArtifactStore, supervisor: Client
) -> None:
    body = stl(20_000)
    ref = await store.put(pieces(body), organisation_id="org-1", name="a.stl")
    await ask(supervisor, f"STREAM.MSG.DELETE.OBJ_{BUCKET}", {"seq": 2, "no_erase": True})
    got = b""
    with pytest.raises(UnavailableError, match="damaged"):
        async for chunk in store.open(ref.digest, organisation_id="org-1"):
            got += chunk
    assert len(got) < len(body) - CHUNK_BYTES


async def test_without_a_server_an_upload_says_so(
    store: JetStreamArtifactStore, fresh_nats: EmbeddedNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.artifacts.bucket.ANSWER_TIMEOUT_S", 0.5)
    fresh_nats.stop()
    with pytest.raises(UnavailableError, match="does not answer"):
        await store.put(pieces(PROGRAM), organisation_id="org-1", name="a.gcode")


async def test_a_killed_upload_is_invisible_and_swept(
    store: JetStreamArtifactStore, supervisor: Client, fresh_settings: Settings
) -> None:
    """kill -9 in the middle of an upload; the same file then uploads as if nothing had been."""
    script = f"""
        import asyncio
        from pathlib import Path
        from ops.artifacts.store import JetStreamArtifactStore
        from ops.messaging.connection import connect
        from ops.settings import Settings

        async def slowly():
            while True:
                yield {PROGRAM!r} * 20000
                print("sent", flush=True)

        async def main():
            client = await connect(Settings(home=Path({str(fresh_settings.home)!r})), "gateway")
            store = JetStreamArtifactStore(client)
            await store.put(slowly(), organisation_id="org-1", name="a.gcode")

        asyncio.run(main())
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(script), cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout
    for _ in range(4):
        assert await process.stdout.readline() == b"sent\n"
    process.kill()
    await process.wait()

    ref = await store.put(pieces(PROGRAM), organisation_id="org-1", name="a.gcode")
    assert await messages(supervisor) > 4
    assert await store.sweep(Later()) == 1
    assert await messages(supervisor) == 2
    assert await read(store, ref.digest) == PROGRAM


async def test_a_running_upload_is_not_swept(
    store: JetStreamArtifactStore, supervisor: Client
) -> None:
    class Now:
        def now(self) -> datetime:
            return datetime.now(UTC)

    await Bucket(supervisor, BUCKET).append("abc", b"chunk")
    assert await store.sweep(Now()) == 0
    assert await messages(supervisor) == 1


async def test_a_commit_without_an_answer_never_loses_the_chunks(
    store: JetStreamArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server stored the file, its answer got lost: the same upload then finds it whole."""
    commit = Bucket.commit

    async def mute(*given: object, **named: object) -> None:
        await commit(*given, **named)  # type: ignore[arg-type]
        raise UnavailableError("The file store does not answer.")

    monkeypatch.setattr(Bucket, "commit", mute)
    with pytest.raises(UnavailableError):
        await store.put(pieces(PROGRAM), organisation_id="org-1", name="a.gcode")
    monkeypatch.undo()
    ref = await store.put(pieces(PROGRAM), organisation_id="org-1", name="a.gcode")
    assert await read(store, ref.digest) == PROGRAM


async def test_a_note_is_kept_once(store: JetStreamArtifactStore) -> None:
    assert await store.recall("k", organisation_id="org-1") is None
    await store.remember("k", "one", organisation_id="org-1")
    await store.remember("k", "two", organisation_id="org-1")
    assert await store.recall("k", organisation_id="org-1") == "one"
    assert await store.recall("k", organisation_id="org-2") is None


async def test_a_name_is_only_a_name(store: JetStreamArtifactStore) -> None:
    ref = await store.put(
        pieces(PROGRAM), organisation_id="org-1", name="../../etc/\x1b[31mpart.gcode"
    )
    assert ref.name == "[31mpart.gcode"


async def test_a_file_of_another_format_than_said_is_refused(
    store: JetStreamArtifactStore,
) -> None:
    with pytest.raises(InvalidInputError, match="is GCODE, not stl"):
        await store.put(pieces(PROGRAM), organisation_id="org-1", name="a", format="stl")
