"""Meshes and programs, measured in a worker process."""

import asyncio
import os
import struct
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import trimesh

from domain.ports import GeometryReport
from domain.shared.errors import InvalidInputError, UnavailableError
from ops.demo.models.make_models import FOLDER
from ops.fabrication.geometry import WorkerGeometry
from ops.fabrication.processes import Worker
from tests.processes import until_gone

ROOT = Path(__file__).parents[2]
MEMORY = 1024**3


@pytest.fixture
async def geometry() -> AsyncIterator[WorkerGeometry]:
    measuring = WorkerGeometry()
    yield measuring
    await measuring.close()


def box(size: tuple[float, float, float], at: tuple[float, float, float] = (0, 0, 0)) -> object:
    made = trimesh.creation.box(extents=size)
    made.apply_translation(at)
    return made


async def measured(geometry: WorkerGeometry, mesh: object, path: Path) -> GeometryReport:
    await asyncio.to_thread(mesh.export, path)  # type: ignore[attr-defined]
    return await geometry.measure(str(path), path.suffix[1:])


async def started(worker: Worker) -> int:
    for _ in range(500):
        if worker.pid is not None:
            return worker.pid
        await asyncio.sleep(0.01)
    pytest.fail("no worker was started")


@pytest.mark.parametrize("suffix", ["stl", "obj"])
async def test_a_box_is_measured_exactly(
    geometry: WorkerGeometry, tmp_path: Path, suffix: str
) -> None:
    report = await measured(geometry, box((10, 20, 30)), tmp_path / f"box.{suffix}")
    assert report == GeometryReport(
        size_mm=(10, 20, 30),
        volume_mm3=6000,
        surface_mm2=2200,
        triangles=12,
        watertight=True,
        bodies=1,
    )


async def test_text_and_binary_stl_measure_alike(geometry: WorkerGeometry, tmp_path: Path) -> None:
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=8)
    tmp_path.joinpath("text.stl").write_text(trimesh.exchange.stl.export_stl_ascii(mesh))
    text = await geometry.measure(str(tmp_path / "text.stl"), "stl")
    binary = await measured(geometry, mesh, tmp_path / "binary.stl")
    assert (text.triangles, text.watertight) == (binary.triangles, True)
    assert text.volume_mm3 == pytest.approx(binary.volume_mm3, rel=1e-5)


async def test_bodies_that_do_not_touch_are_counted(
    geometry: WorkerGeometry, tmp_path: Path
) -> None:
    three = trimesh.util.concatenate([box((5, 5, 5), (place, 0, 0)) for place in (0, 10, 20)])
    report = await measured(geometry, three, tmp_path / "three.stl")
    assert (report.bodies, report.volume_mm3) == (3, 375)


async def test_several_objects_of_an_obj_are_one_part(
    geometry: WorkerGeometry, tmp_path: Path
) -> None:
    """Groups, materials and texture coordinates change nothing, and no other file is opened."""
    lines, count = ["mtllib /etc/passwd", "vt 0 0", "vt 1 1"], 0
    for name, place in (("a", 0.0), ("b", 9.0)):
        mesh = box((5, 5, 5), (place, 0, 0))
        lines += [f"o {name}", f"usemtl {name}"]
        lines += [f"v {x} {y} {z}" for x, y, z in mesh.vertices]  # type: ignore[attr-defined]
        for i, face in enumerate(mesh.faces):  # type: ignore[attr-defined]
            lines.append("f " + " ".join(f"{v + 1 + count}/{1 + i % 2}" for v in face))
        count += 8
    path = tmp_path / "two.obj"
    path.write_text("\n".join(lines) + "\n")
    report = await geometry.measure(str(path), "obj")
    assert (report.triangles, report.bodies, report.watertight) == (24, 2, True)
    assert report.volume_mm3 == 250


async def test_an_open_mesh_is_reported_not_refused(
    geometry: WorkerGeometry, tmp_path: Path
) -> None:
    mesh = trimesh.creation.box(extents=(10, 10, 10))
    mesh.update_faces(range(11))
    report = await measured(geometry, mesh, tmp_path / "open.stl")
    assert (report.watertight, report.volume_mm3) == (False, 0)


async def test_faces_that_meet_three_at_an_edge_are_not_watertight(
    geometry: WorkerGeometry, tmp_path: Path
) -> None:
    fin = trimesh.Trimesh(vertices=[[5, 5, 5], [5, 5, -5], [20, 20, 0]], faces=[[0, 1, 2]])
    both = trimesh.util.concatenate([trimesh.creation.box(extents=(10, 10, 10)), fin])
    report = await measured(geometry, both, tmp_path / "fin.stl")
    assert report.watertight is False


async def test_one_flipped_face_is_not_watertight(geometry: WorkerGeometry, tmp_path: Path) -> None:
    mesh = trimesh.creation.box(extents=(10, 10, 10))
    mesh.faces[0] = mesh.faces[0][::-1]
    report = await measured(geometry, mesh, tmp_path / "flipped.stl")
    assert report.watertight is False


async def test_collapsed_triangles_do_not_open_a_mesh(
    geometry: WorkerGeometry, tmp_path: Path
) -> None:
    path = tmp_path / "collapsed.stl"
    good = trimesh.creation.box(extents=(10, 10, 10))
    good.export(path)
    first, second = good.vertices[:2]
    line = struct.pack("<12fH", 0, 0, 0, *first, *first, *second, 0)
    path.write_bytes(bytes(80) + struct.pack("<I", 13) + path.read_bytes()[84:] + line)
    report = await geometry.measure(str(path), "stl")
    assert (report.watertight, report.triangles) == (True, 12)


@pytest.mark.parametrize(
    ("body", "format"),
    [
        (b"v 0 0 0\nv 1 0 0\n", "obj"),
        (b"v zero 0 0\n", "obj"),
        (b"v 0 0 0\nv 1 0 0\nf 1 2 7\n", "obj"),
        (b"v 0 0 0\nv 1 0 0\nf 1 2\n", "obj"),
        (b"solid x\n facet normal 0 0 1\nendsolid", "stl"),
        (bytes(80) + struct.pack("<I", 1) + struct.pack("<12fH", *[float("nan")] * 12, 0), "stl"),
        (os.urandom(80) + struct.pack("<I", 5) + b"cut", "stl"),
    ],
    ids=[
        "points only",
        "no numbers",
        "no such point",
        "two corners",
        "empty solid",
        "not a number",
        "cut off",
    ],
)
async def test_what_is_no_mesh_is_refused(
    geometry: WorkerGeometry, tmp_path: Path, body: bytes, format: str
) -> None:
    path = tmp_path / f"bad.{format}"
    path.write_bytes(body)
    with pytest.raises(InvalidInputError):
        await geometry.measure(str(path), format)


async def test_a_program_is_read_in_the_worker(geometry: WorkerGeometry) -> None:
    report = await geometry.read(str(FOLDER / "name_plate.nc"))
    assert report.process == "mill"
    assert report.size_mm[:2] == (73, 43)


async def test_a_mesh_too_large_for_the_memory_is_refused_and_the_next_is_measured(
    tmp_path: Path,
) -> None:
    geometry = WorkerGeometry(Worker(memory_bytes=MEMORY // 2, timeout_s=60))
    big = tmp_path / "big.stl"
    triangle = struct.pack("<12fH", 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0)
    big.write_bytes(bytes(80) + struct.pack("<I", 3_000_000) + triangle * 3_000_000)
    try:
        with pytest.raises(InvalidInputError, match=r"memory|fail"):
            await geometry.measure(str(big), "stl")
        report = await measured(geometry, box((1, 1, 1)), tmp_path / "small.stl")
        assert report.volume_mm3 == 1
    finally:
        await geometry.close()


async def test_a_file_that_takes_too_long_ends_the_worker_not_the_service(tmp_path: Path) -> None:
    worker = Worker(memory_bytes=MEMORY, timeout_s=0.3)
    endless = tmp_path / "endless.gcode"
    await asyncio.to_thread(os.mkfifo, endless)
    asking = asyncio.create_task(worker.ask({"task": "read", "path": str(endless)}))
    try:
        pid = await started(worker)
        with pytest.raises(UnavailableError, match=r"longer than 0\.3 s"):
            await asking
        await until_gone(pid)
        assert worker.pid is None
    finally:
        await worker.close()


async def test_an_idle_worker_ends_by_itself_and_the_next_request_starts_another(
    tmp_path: Path,
) -> None:
    worker = Worker(memory_bytes=MEMORY, timeout_s=30, idle_s=0.2)
    request = {"task": "read", "path": str(FOLDER / "name_plate.nc")}
    await worker.ask(request)
    pid = worker.pid
    assert pid is not None
    await until_gone(pid)
    assert worker.pid is None
    assert (await worker.ask(request))["process"] == "mill"
    await worker.close()


async def test_a_worker_that_is_killed_is_said_to_be_and_replaced(tmp_path: Path) -> None:
    worker = Worker(memory_bytes=MEMORY, timeout_s=30)
    pipe = tmp_path / "pipe.gcode"
    await asyncio.to_thread(os.mkfifo, pipe)
    asking = asyncio.create_task(worker.ask({"task": "read", "path": str(pipe)}))
    psutil.Process(await started(worker)).kill()
    with pytest.raises(UnavailableError, match="was ended"):
        await asking
    assert (await worker.ask({"task": "read", "path": str(FOLDER / "name_plate.nc")}))["lines"]
    await worker.close()


async def test_no_worker_outlives_a_service_that_is_killed(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.gcode"
    await asyncio.to_thread(os.mkfifo, pipe)
    script = f"""
        import asyncio
        from ops.fabrication.processes import Worker

        async def main():
            worker = Worker(memory_bytes={MEMORY}, timeout_s=600)
            task = asyncio.create_task(worker.ask({{"task": "read", "path": {str(pipe)!r}}}))
            while worker.pid is None:
                await asyncio.sleep(0.01)
            print(worker.pid, flush=True)
            await task

        asyncio.run(main())
    """
    service = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        textwrap.dedent(script),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert service.stdout
    pid = int(await service.stdout.readline())
    await asyncio.sleep(0.3)
    service.kill()
    await service.wait()
    await until_gone(pid)
