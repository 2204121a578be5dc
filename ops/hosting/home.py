"""The home: one folder with the data, secrets and lock of one installation.

It is owned by us. Run by root it is 0711, so that the servers' account can reach its own 0700
folders inside; nothing that root opens lies in a folder which that account could fill with links.
"""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from ops.hosting.account import Account
from ops.hosting.errors import HomeInUseError, HostingError

MARKER = "imewe-home"


def make_home(home: Path) -> Path:
    """Make the home if it is not there; refuses a folder that somebody else owns or fills."""
    mode = 0o711 if os.geteuid() == 0 else 0o700
    try:
        for folder in (each for each in reversed(home.parents) if not each.exists()):
            folder.mkdir(exist_ok=True)
            folder.chmod(mode)
        home.mkdir(exist_ok=True)
        if home.lstat().st_uid != os.geteuid():
            raise HostingError(f"{home} belongs to another user", field="home")
        if not (home / MARKER).exists():
            if any(home.iterdir()):
                raise HostingError(f"{home} is neither empty nor an Imewe home", field="home")
            home.chmod(mode)
            log_folder(home).mkdir(mode=0o700)
            (home / MARKER).touch(0o600)
    except OSError as error:
        raise HostingError(
            f"{home} cannot be used: {error.strerror}",
            field="home",
            remedy="choose another folder with --home or IMEWE_HOME",
        ) from error
    return home


def log_folder(home: Path) -> Path:
    return home / "logs"


@contextlib.contextmanager
def held(home: Path) -> Iterator[None]:
    """Hold the home's lock; raises ``HomeInUseError`` that names the holder's pid."""
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode().strip()
            raise _in_use(home, holder) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def refuse_in_use(home: Path) -> None:
    """Raises ``HomeInUseError`` at once where ``held`` would."""
    holder = lock_holder(home)
    if holder is not None:
        raise _in_use(home, str(holder))


def lock_holder(home: Path) -> int | None:
    """The pid of the running supervisor, or ``None`` when nobody holds the lock."""
    try:
        with (home / "lock").open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0)
    except FileNotFoundError:
        pass
    return None


def write_private(path: Path, text: str, *, account: Account | None = None) -> None:
    """Put ``text`` in ``path`` whole or not at all, readable by its owner (``account``) only."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
        if account is not None:
            os.fchown(descriptor, account.uid, account.gid)
    fresh.replace(path)


def read_note(path: Path) -> dict[str, Any]:
    """The JSON object kept in ``path``; empty when there is none."""
    try:
        return cast(dict[str, Any], json.loads(path.read_text()))
    except FileNotFoundError:
        return {}


def new_secret() -> str:
    """A random secret in letters that need no quoting anywhere."""
    return secrets.token_hex(24)


def _in_use(home: Path, holder: str) -> HomeInUseError:
    return HomeInUseError(
        f"{home} is in use by another imewe (pid {holder})",
        field="home",
        remedy="stop that one, or choose another folder with --home",
    )
