"""Everything the environment may say, read here once and handed on by constructor."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, Self, cast

from domain.shared.checks import word
from domain.shared.errors import InvalidInputError

CHECKOUT = Path(__file__).resolve().parents[1]

LEAST_STORE_BYTES = (1 << 30) + (128 << 20)
"""The bounded streams beside the log need 1 GiB; the rest is shared with the log."""

LogFormat = Literal["console", "json"]
Switching = Literal["automatic", "manual"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One installation's settings. Times are seconds, sizes bytes.

    ``home`` holds the embedded servers' data, secrets and the lock. ``nats_url`` and
    ``database_url`` name servers that exist already; ``None`` means the embedded ones.
    ``nats_credentials`` is the JSON file ``{user: password}``, by default the home's own.
    ``http_port`` 0 means: choose one at the first start and keep it in the home.
    ``store_bytes`` bounds nats-server's files; 0 means 10 GiB or nine tenths of the free space.
    ``log_format`` is ``console`` or ``json``. ``production`` hides the schema from strangers.
    ``upload_limit_bytes`` bounds one file. ``bridge_id`` is whose machines ``imewe run bridge``
    drives; ``local`` is the bridge inside ``imewe up``. ``head_events`` and ``head_seconds`` say
    after how much, or how long, the notary signs what is new in the log. ``projections_switch``:
    ``manual`` lets a new version of a read model wait for ``imewe projections switch``.
    ``telemetry_apart``: `imewe run telemetry` takes telemetry in, not the projections service.
    ``telemetry_raw_days`` and ``telemetry_second_days`` say how long readings and their roll-ups of
    1 s stay in PostgreSQL; ``telemetry_cold`` is where readings go then, by default in the home.
    ``notify_socket`` and ``watchdog_s`` are systemd's own words to a service that it starts.
    ``fail_points`` is the folder of ``ops.failpoints``, for tests; never with ``production``.
    """

    home: Path
    nats_url: str | None = None
    nats_credentials: Path | None = None
    database_url: str | None = None
    http_host: str = "127.0.0.1"
    http_port: int = 0
    log_format: LogFormat = "console"
    token_ttl_s: int = 8 * 3600
    admin_mail: str = "admin@imewe.local"
    admin_password: str | None = None
    server_account: str | None = None
    store_bytes: int = 0
    production: bool = False
    upload_limit_bytes: int = 1 << 30
    bridge_id: str = "local"
    projections_switch: Switching = "automatic"
    head_events: int = 1000
    head_seconds: int = 60
    telemetry_apart: bool = False
    telemetry_raw_days: int = 7
    telemetry_second_days: int = 2
    telemetry_cold: Path | None = None
    notify_socket: str = ""
    watchdog_s: float = 0.0
    fail_points: Path | None = None
    long_tests: bool = False
    ci: bool = False

    @classmethod
    def from_environment(
        cls, home: Path | None = None, *, environment: Mapping[str, str] | None = None
    ) -> Self:
        """Read ``IMEWE_*``; ``home`` (from ``--home``) goes before ``IMEWE_HOME``.

        Raises ``InvalidInputError`` that names the variable at fault.
        """
        given = os.environ if environment is None else environment
        chosen = home or (Path(given["IMEWE_HOME"]) if given.get("IMEWE_HOME") else None)
        credentials = given.get("IMEWE_NATS_CREDENTIALS")
        return cls(
            home=(chosen or default_home(given)).expanduser().absolute(),
            nats_url=given.get("IMEWE_NATS_URL") or None,
            nats_credentials=Path(credentials).expanduser().absolute() if credentials else None,
            database_url=given.get("IMEWE_DATABASE_URL") or None,
            http_host=given.get("IMEWE_HTTP_HOST") or _default("http_host"),
            http_port=_number(given, "IMEWE_HTTP_PORT", default=0, highest=65535),
            log_format=_log_format(given),
            token_ttl_s=_number(
                given, "IMEWE_TOKEN_TTL", default=8 * 3600, lowest=1, highest=7 * 24 * 3600
            ),
            admin_mail=given.get("IMEWE_ADMIN_MAIL") or _default("admin_mail"),
            admin_password=given.get("IMEWE_ADMIN_PASSWORD") or None,
            server_account=given.get("IMEWE_SERVER_ACCOUNT") or None,
            store_bytes=_number(
                given, "IMEWE_STORE_BYTES", default=0, lowest=LEAST_STORE_BYTES, highest=1 << 60
            ),
            production=_switch(given, "IMEWE_PRODUCTION"),
            upload_limit_bytes=_number(
                given, "IMEWE_UPLOAD_LIMIT", default=1 << 30, lowest=1, highest=1 << 40
            ),
            bridge_id=word(
                "IMEWE_BRIDGE_ID", given.get("IMEWE_BRIDGE_ID") or _default("bridge_id")
            ),
            projections_switch=_switching(given),
            head_events=_number(
                given, "IMEWE_HEAD_EVENTS", default=1000, lowest=1, highest=1_000_000
            ),
            head_seconds=_number(
                given, "IMEWE_HEAD_SECONDS", default=60, lowest=1, highest=24 * 3600
            ),
            telemetry_apart=_switch(given, "IMEWE_TELEMETRY_APART"),
            telemetry_raw_days=_number(
                given, "IMEWE_TELEMETRY_RAW_DAYS", default=7, lowest=1, highest=366
            ),
            telemetry_second_days=_number(
                given, "IMEWE_TELEMETRY_SECOND_DAYS", default=2, lowest=1, highest=366
            ),
            telemetry_cold=_folder(given, "IMEWE_TELEMETRY_COLD"),
            notify_socket=given.get("NOTIFY_SOCKET", ""),
            watchdog_s=_number(given, "WATCHDOG_USEC", default=0, highest=1 << 60) / 1_000_000,
            fail_points=_fail_points(given),
            long_tests=given.get("IMEWE_TEST_LONG") == "1",
            ci=given.get("CI", "").lower() in ("1", "true"),
        )


def default_home(environment: Mapping[str, str]) -> Path:
    """One folder per checkout: in the system's state folder for root, else in the user's own.

    A user without a writable home gets ``/var/tmp/imewe-UID``.
    """
    digest = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:8]
    name = f"{CHECKOUT.name}-{digest}"
    if os.geteuid() == 0:
        return Path("/var/lib/imewe") / name
    given = environment.get("XDG_STATE_HOME")
    state = Path(given) if given else Path("~/.local/state").expanduser()
    if _can_be_made(state):
        return state / "imewe" / name
    return Path("/var/tmp") / f"imewe-{os.geteuid()}" / name


def service_environment() -> dict[str, str]:
    """What a service inherits: ours, and one arena of glibc's malloc for all its threads.

    They take turns at the interpreter anyway, and an arena for each kept 40 MB in one service.
    """
    return {"MALLOC_ARENA_MAX": "1", **os.environ}


def server_environment() -> dict[str, str]:
    """What an embedded server inherits: no PG* setting of the user's, no foreign locale."""
    kept = {name: os.environ[name] for name in ("PATH", "TZ") if name in os.environ}
    return {"PATH": os.defpath, **kept, "LC_ALL": "C", "TMPDIR": tempfile.gettempdir()}


def _can_be_made(folder: Path) -> bool:
    if not folder.is_absolute():
        return False
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _default(name: str) -> str:
    return cast(str, next(field.default for field in fields(Settings) if field.name == name))


def _log_format(given: Mapping[str, str]) -> LogFormat:
    value = given.get("IMEWE_LOG_FORMAT") or "console"
    if value not in ("console", "json"):
        raise InvalidInputError(
            f"IMEWE_LOG_FORMAT is {value!r}, not console or json", field="IMEWE_LOG_FORMAT"
        )
    return cast(LogFormat, value)


def _switching(given: Mapping[str, str]) -> Switching:
    value = given.get("IMEWE_PROJECTIONS_SWITCH") or "automatic"
    if value not in ("automatic", "manual"):
        raise InvalidInputError(
            f"IMEWE_PROJECTIONS_SWITCH is {value!r}, not automatic or manual",
            field="IMEWE_PROJECTIONS_SWITCH",
        )
    return cast(Switching, value)


def _fail_points(given: Mapping[str, str]) -> Path | None:
    folder = given.get("IMEWE_FAIL_POINTS")
    if folder and _switch(given, "IMEWE_PRODUCTION"):
        raise InvalidInputError(
            "IMEWE_FAIL_POINTS is for tests; it lets programs die", field="IMEWE_FAIL_POINTS"
        )
    return Path(folder).absolute() if folder else None


def _folder(given: Mapping[str, str], name: str) -> Path | None:
    text = given.get(name)
    return Path(text).expanduser().absolute() if text else None


def _switch(given: Mapping[str, str], name: str) -> bool:
    text = given.get(name) or "0"
    if text not in ("0", "1"):
        raise InvalidInputError(f"{name} is {text!r}, not 0 or 1", field=name)
    return text == "1"


def _number(
    given: Mapping[str, str], name: str, *, default: int, highest: int, lowest: int = 0
) -> int:
    text = given.get(name)
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not lowest <= int(text) <= highest:
        raise InvalidInputError(
            f"{name} is {text!r}, not a whole number from {lowest} to {highest}", field=name
        )
    return int(text)
