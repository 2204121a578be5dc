"""`imewe up --virtual-shop`, as a person says it first: in a home that has no machines."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_bridge.virtual.shop import PLANS
from ops.demo.scene import MACHINES
from ops.settings import CHECKOUT
from tests.gateway_stack import up

PATIENCE_S = 60.0
NODES = "{ nodes(first: 20) { edges { node { name connected } } } }"

pytestmark = pytest.mark.stack


@pytest.fixture
def outer() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="imewe-virtual-"))
    if os.geteuid() == 0:
        folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def test_a_fresh_home_gets_the_demos_machines_and_its_bridge_reaches_them(outer: Path) -> None:
    with (
        up(outer / "home", "--virtual-shop", told=outer / "up.json") as stack,
        stack.client() as client,
    ):
        until = time.monotonic() + PATIENCE_S
        reached: set[str] = set()
        while reached != {machine.name for machine in MACHINES}:
            assert time.monotonic() < until, reached
            edges = client.execute(NODES)["nodes"]["edges"]
            reached = {each["node"]["name"] for each in edges if each["node"]["connected"]}
            time.sleep(0.1)


def test_machines_that_cannot_be_read_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / PLANS).write_text("{}")
    words = ["up", "--home", str(tmp_path), "--virtual-shop"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ops.cli.main", *words],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert f"mend or move {tmp_path / PLANS}" in done.stderr
    assert not (tmp_path / "nats").exists()
