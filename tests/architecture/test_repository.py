"""What holds for the whole tree: layers, names, lock files, settings, the console script."""

import ast
import importlib.metadata
import json
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.cli.doctor import OUR_NAMES, package_names
from ops.settings import CHECKOUT

SCRIPTS = Path(sysconfig.get_path("scripts"))
READS_THE_ENVIRONMENT = {"ops/settings.py", "ops/boot.py"}
"""`ops/boot.py` runs before there is anything to import."""


def sources() -> Iterator[tuple[str, ast.Module]]:
    for name in OUR_NAMES:
        for path in sorted((CHECKOUT / name).rglob("*.py")):
            if "node_modules" not in path.parts:
                yield path.relative_to(CHECKOUT).as_posix(), ast.parse(path.read_text())


def reads_environment(tree: ast.Module) -> bool:
    """Whether ``os.environ``, ``os.getenv`` or their imports occur."""
    words = {"environ", "environb", "getenv", "getenvb", "putenv"}
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr=name) if name in words:
                return True
            case ast.ImportFrom(module="os", names=names) if words & {each.name for each in names}:
                return True
    return False


def lock_files() -> list[Path]:
    """Lock files that git has or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.lock", "*-lock.json"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [CHECKOUT / line for line in listed.stdout.splitlines()]


def test_the_layers_hold() -> None:
    done = subprocess.run(
        [SCRIPTS / "lint-imports", "--no-cache"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("offence", ["from domain import ports", "import projections.jobs"])
def test_the_layers_would_be_seen_to_break(tmp_path: Path, offence: str) -> None:
    for name in OUR_NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "domain" / "ports.py").touch()
    (tmp_path / "projections" / "jobs.py").touch()
    (tmp_path / "schema" / "offender.py").write_text(f"{offence}\n")
    done = subprocess.run(
        [SCRIPTS / "lint-imports", "--no-cache", "--config", CHECKOUT / "pyproject.toml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "BROKEN" in done.stdout


def test_no_other_distribution_ships_our_names() -> None:
    finding = package_names()
    assert finding.ok, finding.detail
    shipped = importlib.metadata.packages_distributions()
    assert "tests" not in shipped


def test_our_names_are_not_the_standard_librarys() -> None:
    assert not set(OUR_NAMES) & sys.stdlib_module_names


def test_lock_files_hold_no_address() -> None:
    found = lock_files()
    assert CHECKOUT / "requirements.lock" in found
    for path in found:
        if path.suffix == ".json":  # npm also lists where to send money: those are no sources
            packages = json.loads(path.read_text())["packages"].values()
            assert not [each for each in packages if "://" in each.get("resolved", "")], path
        else:
            assert "://" not in path.read_text(), path


def test_every_dependency_is_locked_with_a_hash() -> None:
    blocks = (CHECKOUT / "requirements.lock").read_text().split("\n")
    pinned = [line for line in blocks if "==" in line]
    assert len(pinned) > 30
    assert all(line.rstrip().endswith("\\") for line in pinned)


def test_the_environment_is_read_in_the_settings_alone() -> None:
    assert {path for path, tree in sources() if reads_environment(tree)} == READS_THE_ENVIRONMENT


@pytest.mark.parametrize(
    "code",
    ["import os\nx = os.environ['A']", "import os\nos.getenv('A')", "from os import environ"],
)
def test_reading_the_environment_would_be_seen(code: str) -> None:
    assert reads_environment(ast.parse(code))


def test_package_files_are_empty() -> None:
    full = [path for path, tree in sources() if path.endswith("__init__.py") and tree.body]
    assert full == []


@pytest.fixture(params=["root", "own schema"])
def working_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The root folder, and one whose own ``schema`` and ``ops`` could be taken for ours."""
    if request.param == "root":
        return Path("/")
    for name in ("schema", "ops"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('not ours')\n")
    return tmp_path


def test_the_console_script_finds_our_code_from_anywhere(
    working_folder: Path, fresh_home: Path
) -> None:
    done = subprocess.run(
        [SCRIPTS / "imewe", "doctor", "--json", "--home", fresh_home],
        cwd=working_folder,
        capture_output=True,
        text=True,
        check=False,
    )
    names = {each["name"]: each for each in json.loads(done.stdout)}
    assert names["package names"]["ok"] is True
