"""Slicing stored meshes with the real PrusaSlicer, and without one."""

import asyncio
import stat
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trimesh
from nats.aio.client import Client

from domain.part.profiles import slice_profile
from domain.ports import GcodeReport, GeometryReport
from domain.shared.errors import InvalidInputError, NotFoundError, UnavailableError
from ops.artifacts.store import JetStreamArtifactStore
from ops.demo.models.make_models import FOLDER
from ops.demo.models.solids import binary_stl, ladder, polar
from ops.fabrication.files import pieces
from ops.fabrication.geometry import StoredInspector, WorkerGeometry
from ops.fabrication.processes import Worker
from ops.fabrication.slicer import PrusaSlicer
from ops.fabrication.slicing import seconds
from ops.messaging.connection import connect
from ops.messaging.server import EmbeddedNats
from ops.messaging.streams import ensure_app_streams
from ops.settings import Settings
from tests.processes import until_gone

ORG = "org-1"
PROFILE = slice_profile("PLA", {"max_size": {"x": 250, "y": 210, "z": 210}})
DRAFT = replace(PROFILE, layer_height_mm=0.3)


@pytest.fixture
async def client(fresh_nats: EmbeddedNats, fresh_settings: Settings) -> AsyncIterator[Client]:
    connection = await connect(fresh_settings, "supervisor", allow_reconnect=False)
    await ensure_app_streams(connection, store_bytes=fresh_nats.store_bytes)
    yield connection
    await connection.close()


@pytest.fixture
def store(client: Client) -> JetStreamArtifactStore:
    return JetStreamArtifactStore(client)


@pytest.fixture
async def slicer(
    store: JetStreamArtifactStore, require_or_skip: Callable[[str], str]
) -> AsyncIterator[PrusaSlicer]:
    require_or_skip("prusa-slicer")
    slicing = PrusaSlicer(store)
    yield slicing
    await slicing.close()


async def stored(store: JetStreamArtifactStore, name: str) -> str:
    ref = await store.put(pieces(FOLDER / name), organisation_id=ORG, name=name)
    return ref.digest


async def read(store: JetStreamArtifactStore, digest: str) -> bytes:
    return b"".join([c async for c in store.open(digest, organisation_id=ORG)])


async def test_a_stored_mesh_becomes_a_stored_program_with_the_slicers_figures(
    store: JetStreamArtifactStore, slicer: PrusaSlicer
) -> None:
    report = await slicer.slice(await stored(store, "hex_knob.stl"), DRAFT, organisation_id=ORG)
    assert report.slicer.startswith("PrusaSlicer ")
    assert (report.gcode.name, report.gcode.format) == ("hex_knob.gcode", "gcode")
    text = (await read(store, report.gcode.digest)).decode()
    assert report.lines == len(text.splitlines())
    assert 60_000 < report.duration_ms < 600_000
    assert 300 < report.material_mm3 < 1500
    assert "/tmp" not in text
    assert "M104 S210" in text


async def test_our_own_reading_of_the_program_agrees_with_the_slicer(
    store: JetStreamArtifactStore, slicer: PrusaSlicer
) -> None:
    report = await slicer.slice(await stored(store, "cable_clip.stl"), PROFILE, organisation_id=ORG)
    geometry = WorkerGeometry()
    inspector = StoredInspector(store, geometry)
    try:
        seen = await inspector.inspect(report.gcode.digest, organisation_id=ORG)
    finally:
        await geometry.close()
    assert isinstance(seen, GcodeReport)
    assert seen.duration_ms == pytest.approx(report.duration_ms, rel=0.15)
    assert seen.material_mm3 == pytest.approx(report.material_mm3, rel=0.05)
    assert (seen.lines, seen.nozzle_c, seen.bed_c) == (report.lines, 210, 60)
    assert (seen.process, seen.unsafe) == ("fdm", ())


async def test_slicing_the_same_again_runs_no_slicer(
    store: JetStreamArtifactStore, slicer: PrusaSlicer
) -> None:
    digest = await stored(store, "hex_knob.stl")
    first = await slicer.slice(digest, DRAFT, organisation_id=ORG)
    absent = PrusaSlicer(store, programs=("no-such-slicer",))
    assert await absent.slice(digest, DRAFT, organisation_id=ORG) == first
    with pytest.raises(UnavailableError):
        await absent.slice(digest, replace(DRAFT, infill_percent=50), organisation_id=ORG)


async def test_two_slicings_of_the_same_give_the_same_bytes(
    store: JetStreamArtifactStore, slicer: PrusaSlicer
) -> None:
    body = (FOLDER / "timing_wheel.stl").read_bytes()
    digests = set()
    for organisation in ("org-1", "org-2"):

        async def whole() -> AsyncIterator[bytes]:
            yield body

        ref = await store.put(whole(), organisation_id=organisation, name="wheel.stl")
        report = await slicer.slice(ref.digest, DRAFT, organisation_id=organisation)
        digests.add(report.gcode.digest)
    assert len(digests) == 1


async def test_a_cube_in_round_numbers_is_no_text_for_the_slicer(
    store: JetStreamArtifactStore, slicer: PrusaSlicer
) -> None:
    box = trimesh.creation.box(extents=(10, 10, 10))
    box.apply_translation((5, 5, 5))
    triangles = [struct.pack("<12fH", 0, 0, 0, *corners.ravel(), 0) for corners in box.triangles]
    cube = bytes(80) + struct.pack("<I", len(triangles)) + b"".join(triangles)
    assert max(cube[84 : 84 + 128]) <= 127

    async def whole() -> AsyncIterator[bytes]:
        yield cube

    digest = (await store.put(whole(), organisation_id=ORG, name="cube.stl")).digest
    report = await slicer.slice(digest, DRAFT, organisation_id=ORG)
    assert report.material_mm3 > 100


async def test_a_part_as_large_as_the_bed_loses_its_skirt(
    store: JetStreamArtifactStore, slicer: PrusaSlicer
) -> None:
    exact = replace(DRAFT, bed_size_mm=(20.0, 20.0, 20.0))
    digest = await stored(store, "hex_knob.stl")
    report = await slicer.slice(digest, exact, organisation_id=ORG)
    text = (await read(store, report.gcode.digest)).decode()
    assert ";TYPE:Skirt" not in text


async def test_a_model_larger_than_the_bed_is_refused(
    store: JetStreamArtifactStore, slicer: PrusaSlicer
) -> None:
    small = replace(PROFILE, bed_size_mm=(12.0, 12.0, 12.0))
    with pytest.raises(InvalidInputError, match="PrusaSlicer cannot slice") as refused:
        await slicer.slice(await stored(store, "hex_knob.stl"), small, organisation_id=ORG)
    assert "/tmp" not in refused.value.message


async def test_a_model_that_is_a_flat_sheet_is_refused(
    store: JetStreamArtifactStore, slicer: PrusaSlicer
) -> None:
    outer, inner = ([polar(radius, i / 3) for i in range(18)] for radius in (9, 5))
    body = binary_stl("flat", ladder([(0, outer, inner), (0.0001, outer, inner)], closed=True))

    async def whole() -> AsyncIterator[bytes]:
        yield body

    ref = await store.put(whole(), organisation_id=ORG, name="flat.stl")
    with pytest.raises(InvalidInputError, match="PrusaSlicer cannot slice"):
        await slicer.slice(ref.digest, PROFILE, organisation_id=ORG)


async def test_a_program_is_no_mesh(store: JetStreamArtifactStore, slicer: PrusaSlicer) -> None:
    digest = await stored(store, "name_plate.nc")
    with pytest.raises(InvalidInputError, match="is no mesh"):
        await slicer.slice(digest, PROFILE, organisation_id=ORG)


async def test_an_unknown_file_is_not_found(
    store: JetStreamArtifactStore, slicer: PrusaSlicer
) -> None:
    with pytest.raises(NotFoundError):
        await slicer.slice("0" * 64, PROFILE, organisation_id=ORG)


async def test_without_a_slicer_the_refusal_says_what_to_install(
    store: JetStreamArtifactStore,
) -> None:
    slicer = PrusaSlicer(store, programs=("no-such-slicer",))
    with pytest.raises(UnavailableError) as refused:
        await slicer.slice(await stored(store, "hex_knob.stl"), PROFILE, organisation_id=ORG)
    assert "apt install prusa-slicer" in refused.value.remedy
    assert "G-code" in refused.value.remedy


async def test_a_slicer_that_hangs_is_ended_with_all_it_started(
    store: JetStreamArtifactStore, tmp_path: Path
) -> None:
    hanging, noted = tmp_path / "hanging-slicer", tmp_path / "pid"
    hanging.write_text(f"#!/bin/sh\necho $$ > {noted}\nexec sleep 300\n")
    hanging.chmod(hanging.stat().st_mode | stat.S_IXUSR)
    worker = Worker(memory_bytes=1024**3, timeout_s=2.0)
    slicer = PrusaSlicer(store, programs=(str(hanging),), worker=worker)
    with pytest.raises(UnavailableError, match="longer than 2 s"):
        await slicer.slice(await stored(store, "hex_knob.stl"), PROFILE, organisation_id=ORG)
    await until_gone(int(noted.read_text()))


async def test_a_slicer_runs_for_a_user_without_a_home(
    store: JetStreamArtifactStore, slicer: PrusaSlicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.delenv("DISPLAY", raising=False)
    digest = await stored(store, "cable_clip.stl")
    assert (await slicer.slice(digest, DRAFT, organisation_id=ORG)).lines > 1000


async def test_a_stored_file_is_looked_into_once(store: JetStreamArtifactStore) -> None:
    geometry = WorkerGeometry()
    digest = await stored(store, "hex_knob.stl")
    try:
        first = await StoredInspector(store, geometry).inspect(digest, organisation_id=ORG)
    finally:
        await geometry.close()
    assert isinstance(first, GeometryReport)
    assert first.watertight
    broken = WorkerGeometry(Worker(memory_bytes=1, timeout_s=1))
    assert await StoredInspector(store, broken).inspect(digest, organisation_id=ORG) == first


async def test_nothing_is_left_in_the_temporary_folder(
    store: JetStreamArtifactStore,
    slicer: PrusaSlicer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    await slicer.slice(await stored(store, "cable_clip.stl"), DRAFT, organisation_id=ORG)
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []


def test_the_slicers_words_for_time_are_understood() -> None:
    assert seconds("1d 2h 3m 4s") == 86400 + 2 * 3600 + 3 * 60 + 4
    assert seconds("45s") == 45
