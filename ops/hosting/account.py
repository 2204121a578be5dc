"""The account that the embedded servers run as: PostgreSQL refuses to run as root."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ops.hosting.errors import HostingError


@dataclass(frozen=True, slots=True)
class Account:
    """An account with a passwd entry (initdb looks itself up there)."""

    name: str
    uid: int
    gid: int


@lru_cache(maxsize=1)
def server_account(preferred: str | None = None) -> Account | None:
    """``None`` for an ordinary user (servers run as oneself); for root another account.

    That is ``preferred``, else ``imewe`` (made by useradd where that exists), else ``nobody``.
    """
    if os.geteuid() != 0:
        return None
    if preferred:
        return _known(preferred) or _no_account(preferred)
    if found := _known("imewe"):
        return found
    if useradd := shutil.which("useradd", path=f"{os.defpath}:/usr/sbin:/sbin"):
        options = ["--system", "--no-create-home", "--shell", "/usr/sbin/nologin"]
        subprocess.run([useradd, *options, "imewe"], capture_output=True, check=False)
    return _known("imewe") or _known("nobody") or _no_account("nobody")


def identity(account: Account | None) -> dict[str, Any]:
    """Keyword arguments for ``subprocess`` that start a program as ``account``."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def usable_by(account: Account | None, command: Sequence[str]) -> bool:
    """Whether ``command`` runs as ``account``: trying is the only trustworthy test.

    Paths must be absolute: the working folder is entered before the account changes.
    """
    try:
        done = subprocess.run(
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=False,
            **identity(account),
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def own_folder(folder: Path, account: Account | None) -> None:
    """Make ``folder`` private (0700) to the account; its parent must be ours."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if account is not None:
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)
    folder.chmod(0o700)
    if not usable_by(account, ["/bin/sh", "-c", 'cd "$1" && test -w .', "sh", str(folder)]):
        name = account.name if account else "this user"
        raise HostingError(
            f"{folder}: account {name} cannot enter it (a parent folder is 0700?)",
            field="home",
            remedy="choose another folder with --home or IMEWE_HOME",
        )


def _known(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid) if entry.pw_uid else None


def _no_account(name: str) -> Account:
    raise HostingError(
        f"no account {name!r} to run the servers as; root itself may not run PostgreSQL",
        field="IMEWE_SERVER_ACCOUNT",
        remedy="make one: useradd --system imewe",
    )
