"""The streams of the LOG account. Made by the supervisor, who alone may make streams there."""

from dataclasses import dataclass
from typing import Any

from domain.shared.errors import ConflictError
from ops.eventstore.client import Client, JetStreamError

MIB = 1 << 20
DAY_NS = 24 * 3600 * 1_000_000_000
NAME_IN_USE = 10058


@dataclass(frozen=True, slots=True, kw_only=True)
class LogNames:
    """The names of one event log; tests use others than the shop's.

    ``live`` is where the log says that an event is readable now.
    """

    stream: str = "IMEWE_EVENTS"
    subjects: str = "imewe.events"
    live: str = "live.imewe.events"
    snapshot_stream: str = "IMEWE_SNAPSHOTS"
    snapshot_subjects: str = "imewe.snapshots"
    heads_stream: str = "IMEWE_HEADS"
    heads_subjects: str = "imewe.heads"


def events_config(names: LogNames, *, replicas: int = 1) -> dict[str, Any]:
    """The log: nothing is ever deleted, purged, aged or displaced."""
    return {
        **_file(names.stream, [f"{names.subjects}.>"], max_bytes=-1, replicas=replicas),
        "allow_atomic": True,
        "deny_delete": True,
        "deny_purge": True,
        "republish": {
            "src": f"{names.subjects}.>",
            "dest": f"{names.live}.>",
            "headers_only": True,
        },
    }


def snapshots_config(names: LogNames, *, replicas: int = 1) -> dict[str, Any]:
    """The newest ten snapshots of each aggregate; old ones make room, loading needs none."""
    subjects = [f"{names.snapshot_subjects}.>"]
    return {
        **_file(names.snapshot_stream, subjects, max_bytes=512 * MIB, replicas=replicas),
        "max_msgs_per_subject": 10,
        "discard": "old",
    }


def heads_config(names: LogNames, *, replicas: int = 1) -> dict[str, Any]:
    """What the notary signed over the log, and its keys: as lasting as the log itself."""
    subjects = [f"{names.heads_subjects}.>"]
    return {
        **_file(names.heads_stream, subjects, max_bytes=-1, replicas=replicas),
        "deny_delete": True,
        "deny_purge": True,
    }


def timers_config(*, replicas: int = 1) -> dict[str, Any]:
    """Scheduled messages (ADR-51): set on ``imewe.timer.set.<id>``, due on ``.due.<id>``."""
    return {
        **_file("IMEWE_TIMERS", ["imewe.timer.>"], max_bytes=64 * MIB, replicas=replicas),
        "allow_msg_schedules": True,
        "max_msgs_per_subject": 1,
        "discard": "old",
    }


def audit_config(*, replicas: int = 1) -> dict[str, Any]:
    """Log-ins and denials, kept for 400 days."""
    return {
        **_file("IMEWE_AUDIT", ["imewe.audit.>"], max_bytes=256 * MIB, replicas=replicas),
        "deny_delete": True,
        "deny_purge": True,
        "max_age": 400 * DAY_NS,
        "discard": "old",
    }


def secrets_config(bucket: str, *, max_age: int = 0, replicas: int = 1) -> dict[str, Any]:
    """A bucket whose values can be erased from its files (a client's own bucket denies that).

    One value per name, and the server refuses a second: overwriting would leave the first in
    the files. ``max_age`` is in nanoseconds.
    """
    return {
        **_file(f"KV_{bucket}", [f"$KV.{bucket}.>"], max_bytes=64 * MIB, replicas=replicas),
        "max_msgs_per_subject": 1,
        "discard_new_per_subject": True,
        "max_age": max_age,
    }


def leases_config(*, replicas: int = 1) -> dict[str, Any]:
    """An ordinary KV bucket; the revision of a lease is the fence."""
    return {
        **_file("KV_IMEWE_LEASES", ["$KV.IMEWE_LEASES.>"], max_bytes=16 * MIB, replicas=replicas),
        "max_msgs_per_subject": 1,
        "allow_rollup_hdrs": True,
        "allow_msg_ttl": True,
    }


def stream_configs(*, replicas: int = 1) -> list[dict[str, Any]]:
    """Every stream of the LOG account."""
    names = LogNames()
    return [
        events_config(names, replicas=replicas),
        snapshots_config(names, replicas=replicas),
        heads_config(names, replicas=replicas),
        timers_config(replicas=replicas),
        audit_config(replicas=replicas),
        secrets_config("IMEWE_SECRETS", replicas=replicas),
        secrets_config("IMEWE_ANSWERS", max_age=DAY_NS, replicas=replicas),
        leases_config(replicas=replicas),
    ]


def ensure_streams(client: Client, configs: list[dict[str, Any]] | None = None) -> None:
    """Make the streams that are not there.

    Raises ``ConflictError`` when one is there with another configuration: a log that is not
    protected as it should be is not taken over in silence.
    """
    for config in stream_configs() if configs is None else configs:
        try:
            client.api(f"STREAM.CREATE.{config['name']}", config)
        except JetStreamError as error:
            if error.number != NAME_IN_USE:
                raise
            raise ConflictError(
                f"stream {config['name']} exists with another configuration",
                remedy="compare it with ops/eventstore/streams.py; nothing was changed",
            ) from error


def _file(name: str, subjects: list[str], *, max_bytes: int, replicas: int) -> dict[str, Any]:
    return {
        "name": name,
        "subjects": subjects,
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_bytes": max_bytes,
        "num_replicas": replicas,
        "allow_direct": True,
        "duplicate_window": 120_000_000_000,
    }
