"""What a newcomer sees first: `imewe demo`, as a program of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ops.demo.scene import MODELS
from tests.whole import own_home

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

IMEWE = (sys.executable, "-P", "-m", "ops.cli.main")
DEMO_S = 300.0


def _demo(home: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, report and what stood on standard error."""
    done = subprocess.run(
        [*IMEWE, "demo", "--once", "--json", "--home", str(home), *words],
        capture_output=True,
        text=True,
        timeout=DEMO_S,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def test_the_demo_makes_every_part_and_one_of_them_twice(tmp_path: Path) -> None:
    written = tmp_path / "report.md"
    with own_home() as home:
        code, report, error = _demo(home, "--report", str(written))
    assert (code, report["status"]) == (0, "COMPLETED"), error
    assert "Traceback" not in error
    parts = {part["name"]: part for part in report["parts"]}
    assert set(parts) == {"cable_clip", "hex_knob", "timing_wheel", "name_plate"}
    assert {part["status"] for part in parts.values()} == {"COMPLETED"}
    builds = [build for part in parts.values() for build in part["builds"]]
    _expect_one_remade_elsewhere(list(parts.values()))
    assert all("virtual" in build["machine"] for build in builds)
    assert {"virtual-mill-1"} == {build["machine"] for build in parts["name_plate"]["builds"]}
    assert {build["energySource"] for build in builds} == {"virtual meter"}
    made = [build for build in builds if build["status"] == "INSPECTED"]
    assert len(made) == 4
    assert all(b["durationMs"] > 0 and b["bookedMg"] > 0 and b["energyJ"] > 0 for b in made)
    assert "virtual" in report["simulated"]
    _expect_the_whole_story(report)
    assert "virtual" in written.read_text()
    assert "FAILED" in written.read_text()


def _expect_one_remade_elsewhere(parts: list[dict[str, Any]]) -> None:
    (remade,) = [part for part in parts if len(part["builds"]) == 2]
    first, second = remade["builds"]
    assert (first["machine"], first["status"]) == ("virtual-printer-1", "FAILED")
    assert "Thermal Runaway" in first["nativeText"]
    assert (second["status"], second["machine"]) != ("FAILED", first["machine"])
    assert second["machine"] != first["machine"]
    assert second["status"] == "INSPECTED"


def _expect_the_whole_story(report: dict[str, Any]) -> None:
    what = [event["what"] for event in report["events"]]
    assert what[0] == "Job.Submitted"
    for wanted in ("Part.Validated", "Build.Started", "Build.Failed", "Job.Completed"):
        assert wanted in what
    positions = [int(event["position"]) for event in report["events"]]
    assert positions == sorted(set(positions))
    assert all(event["words"] for event in report["events"])


def test_the_demo_makes_a_model_of_ones_own(
    require_or_skip: Callable[[str], str], tmp_path: Path
) -> None:
    require_or_skip("prusa-slicer")
    model = tmp_path / "my own knob.stl"
    model.write_bytes((MODELS / "hex_knob.stl").read_bytes())
    with own_home() as home:
        code, report, error = _demo(home, str(model))
    assert (code, report["status"]) == (0, "COMPLETED"), error
    (part,) = report["parts"]
    assert (part["name"], part["status"], part["passed"]) == ("my own knob", "COMPLETED", 1)
    assert "PrusaSlicer" in part["estimated_by"]


def test_the_demo_of_a_model_that_cannot_be_made_says_why_and_fails(tmp_path: Path) -> None:
    model = tmp_path / "open.stl"
    model.write_text(
        "solid open\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 10 0 0\n"
        "vertex 0 10 0\nendloop\nendfacet\nendsolid open\n"
    )
    with own_home() as home:
        code, report, error = _demo(home, str(model))
    assert (code, report["status"]) == (1, "REJECTED")
    ((reason,),) = [part["reasons"] for part in report["parts"]]
    assert reason["code"] == "NOT_WATERTIGHT"
    assert "Traceback" not in error
