"""Who may say what on the embedded nats-server: two accounts, one user per service.

The log lives in account ``LOG``; everybody who is not the writer lives in ``APP``. Permissions on
subjects alone do not protect a log, because the server answers a request wherever its reply
subject points, and a stream would store that answer: only the wall between accounts does.

``APP`` sees three things of the log, under names of its own (``$JS.API...`` is already taken there
by its own JetStream, which would answer first):

* ``imewe.log.get``  -> ``$JS.API.DIRECT.GET.IMEWE_EVENTS`` (the same payloads: ``{"seq": 7}``,
  ``{"last_by_subj": ...}``, ``{"batch": ...}``; several answers may come);
* ``imewe.log.info`` -> ``$JS.API.STREAM.INFO.IMEWE_EVENTS``;
* ``live.imewe.events.>``, the wake-up, as it is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from commands.wire import AUDIT_READ, AUDIT_REPORT, AUDIT_STEP
from ops.eventstore.wire import inbox_prefix

LOG = "LOG"
APP = "APP"
EMBEDDED_BRIDGE = "local"
LOG_GET = "imewe.log.get"
LOG_INFO = "imewe.log.info"
LIVE_EVENTS = "live.imewe.events.>"
HEADS = "imewe.heads.>"
ARTIFACTS = "IMEWE_ARTIFACTS"

LOG_USERS = ("log_commands", "log_processes", "log_notary", "log_supervisor", "log_backup")
APP_USERS = (
    "commands",
    "processes",
    "projections",
    "notary",
    "gateway",
    "bridge",
    "supervisor",
    "backup",
)

_API = "$JS.API"
_LOG_STREAMS = ("IMEWE_EVENTS", "IMEWE_HEADS", "IMEWE_SNAPSHOTS", "IMEWE_AUDIT")
_STREAM_CHANGES = [
    f"{_API}.STREAM.{verb}.>" for verb in ("CREATE", "UPDATE", "DELETE", "RESTORE", "SNAPSHOT")
]
_ERASURES = [
    *(f"{_API}.STREAM.{verb}.{name}" for verb in ("PURGE", "MSG.DELETE") for name in _LOG_STREAMS),
    f"{_API}.STREAM.MSG.DELETE.IMEWE_TIMERS",
]
_SERVICE = ["$SRV.>"]
_READ_LOG = [LOG_GET, LOG_INFO]
_READ_OBJECTS = [
    f"{_API}.STREAM.INFO.OBJ_{ARTIFACTS}",
    f"{_API}.DIRECT.GET.OBJ_{ARTIFACTS}",
    f"{_API}.DIRECT.GET.OBJ_{ARTIFACTS}.>",
    f"{_API}.STREAM.MSG.GET.OBJ_{ARTIFACTS}",
    f"{_API}.CONSUMER.CREATE.OBJ_{ARTIFACTS}.>",
    f"{_API}.CONSUMER.INFO.OBJ_{ARTIFACTS}.>",
    f"{_API}.CONSUMER.DELETE.OBJ_{ARTIFACTS}.>",
    f"{_API}.CONSUMER.MSG.NEXT.OBJ_{ARTIFACTS}.>",
    f"$JS.ACK.OBJ_{ARTIFACTS}.>",
    "$JS.FC.>",
]
_WRITE_OBJECTS = [f"$O.{ARTIFACTS}.>", f"{_API}.STREAM.PURGE.OBJ_{ARTIFACTS}"]


Bridges = Mapping[str, Sequence[str]]
"""The nodes of each bridge beside the embedded one."""


def bridge_user(bridge_id: str) -> str:
    """The NATS user of a bridge."""
    return "bridge" if bridge_id == EMBEDDED_BRIDGE else f"bridge_{bridge_id}"


def all_users(bridges: Bridges) -> list[str]:
    """Everybody who has a password."""
    return [*LOG_USERS, *APP_USERS, *(bridge_user(bridge_id) for bridge_id in bridges)]


def accounts(passwords: Mapping[str, str], bridges: Bridges) -> dict[str, Any]:
    """The ``accounts`` block of nats-server's configuration."""
    others = {
        bridge_user(bridge_id): _bridge(bridge_id, nodes) for bridge_id, nodes in bridges.items()
    }
    return {
        LOG: {
            "jetstream": "enabled",
            "users": [_user(name, passwords, LOG_PERMISSIONS[name]) for name in LOG_USERS],
            "exports": [
                {
                    "service": f"{_API}.DIRECT.GET.IMEWE_EVENTS",
                    "response_type": "stream",
                    "accounts": [APP],
                },
                {"service": f"{_API}.STREAM.INFO.IMEWE_EVENTS", "accounts": [APP]},
                {"stream": LIVE_EVENTS, "accounts": [APP]},
            ],
        },
        APP: {
            "jetstream": "enabled",
            "users": [
                _user(name, passwords, permissions)
                for name, permissions in (APP_PERMISSIONS | others).items()
            ],
            "imports": [
                _import(f"{_API}.DIRECT.GET.IMEWE_EVENTS", to=LOG_GET),
                _import(f"{_API}.STREAM.INFO.IMEWE_EVENTS", to=LOG_INFO),
                {"stream": {"account": LOG, "subject": LIVE_EVENTS}},
            ],
        },
    }


def _import(subject: str, *, to: str) -> dict[str, Any]:
    return {"service": {"account": LOG, "subject": subject}, "to": to}


def _user(
    name: str, passwords: Mapping[str, str], permissions: Mapping[str, Any]
) -> dict[str, Any]:
    return {"user": name, "password": passwords[name], "permissions": permissions}


def _follow(stream: str) -> list[str]:
    """Read a stream by direct get and by consumers."""
    return [
        f"{_API}.STREAM.INFO.{stream}",
        f"{_API}.STREAM.MSG.GET.{stream}",
        f"{_API}.DIRECT.GET.{stream}",
        f"{_API}.DIRECT.GET.{stream}.>",
        *(f"{_API}.CONSUMER.{verb}.{stream}.>" for verb in ("CREATE", "INFO", "DELETE")),
        f"{_API}.CONSUMER.DURABLE.CREATE.{stream}.>",
        f"{_API}.CONSUMER.MSG.NEXT.{stream}.>",
        f"$JS.ACK.{stream}.>",
        "$JS.FC.>",
    ]


def _permit(
    name: str,
    *,
    publish: Sequence[str],
    subscribe: Sequence[str] = (),
    deny: Sequence[str] = (),
) -> dict[str, Any]:
    """Answers to requests may go anywhere once; all else is as listed."""
    allowed = {"allow": [*publish], **({"deny": [*deny]} if deny else {})}
    return {
        "publish": allowed,
        "subscribe": {"allow": [f"{inbox_prefix(name)}.>", *_SERVICE, *subscribe]},
        "allow_responses": {"max": 8, "expires": "5m"},
    }


def _steps(service: str) -> str:
    """Where a service tells the audit trail what it does for admins."""
    return f"{AUDIT_STEP}.{service}"


def _bridge(bridge_id: str, nodes: Sequence[str]) -> dict[str, Any]:
    """Its own commands and heartbeat, samples and work of its machines, and files to make.

    The embedded bridge's machines come and go while it runs: ``*`` stands for all.
    """
    return _permit(
        bridge_user(bridge_id),
        publish=[
            f"imewe.command.bridge.{bridge_id}.>",
            f"imewe.heartbeat.{bridge_id}",
            f"{_API}.DIRECT.GET.OBJ_{ARTIFACTS}",
            f"{_API}.DIRECT.GET.OBJ_{ARTIFACTS}.>",
            *(subject for node in nodes for subject in _machine(node)),
        ],
        subscribe=[f"imewe.stop.{bridge_id}.>", f"imewe.bridge.{bridge_id}.>"],
    )


def _machine(node: str) -> list[str]:
    return [
        f"imewe.telemetry.{node}",
        f"{_API}.CONSUMER.CREATE.IMEWE_WORK.{node}.imewe.work.{node}",
        f"{_API}.CONSUMER.INFO.IMEWE_WORK.{node}",
        f"{_API}.CONSUMER.MSG.NEXT.IMEWE_WORK.{node}",
        f"$JS.ACK.IMEWE_WORK.{node}.>",
    ]


def _copy(name: str) -> dict[str, Any]:
    """Take snapshots of streams, and nothing else."""
    return _permit(
        name,
        publish=[f"{_API}.STREAM.SNAPSHOT.>", f"{_API}.STREAM.INFO.>", "$JS.SNAPSHOT.ACK.>"],
    )


LOG_PERMISSIONS: dict[str, dict[str, Any]] = {
    "log_backup": _copy("log_backup"),
    "log_commands": _permit(
        "log_commands",
        publish=[">"],
        subscribe=[LIVE_EVENTS, "imewe.timer.due.>", "$KV.>"],
        deny=[*_STREAM_CHANGES, *_ERASURES, HEADS],
    ),
    "log_processes": _permit(
        "log_processes",
        publish=[
            f"{_API}.INFO",
            f"{_API}.STREAM.NAMES",
            *_follow("IMEWE_EVENTS"),
            *_follow("IMEWE_SNAPSHOTS"),
            *_follow("IMEWE_TIMERS"),
            *_follow("KV_IMEWE_LEASES"),
            "imewe.timer.set.>",
            f"{_API}.STREAM.PURGE.IMEWE_TIMERS",
            "$KV.IMEWE_LEASES.>",
        ],
        subscribe=[LIVE_EVENTS, "imewe.timer.due.>", "$KV.IMEWE_LEASES.>"],
    ),
    "log_notary": _permit(
        "log_notary",
        publish=[
            HEADS,
            *(
                f"{_API}.{verb}.{stream}"
                for verb in ("STREAM.INFO", "DIRECT.GET")
                for stream in ("IMEWE_EVENTS", "IMEWE_HEADS")
            ),
        ],
        subscribe=[LIVE_EVENTS],
    ),
    "log_supervisor": _permit(
        "log_supervisor",
        publish=[">"],
        subscribe=[LIVE_EVENTS],
        deny=["imewe.>", f"{_API}.STREAM.RESTORE.>", *_ERASURES]
        + [
            f"{_API}.STREAM.{verb}.{name}"
            for verb in ("UPDATE", "DELETE")
            for name in ("IMEWE_EVENTS", "IMEWE_HEADS", "IMEWE_AUDIT")
        ],
    ),
}
"""Even the supervisor, which makes the streams, can change or erase neither log nor proof."""

APP_PERMISSIONS: dict[str, dict[str, Any]] = {
    "backup": _copy("backup"),
    "commands": _permit(
        "commands",
        publish=[*_READ_LOG, *_READ_OBJECTS],
        subscribe=[
            "imewe.command.>",
            "imewe.auth.>",
            AUDIT_REPORT,
            AUDIT_READ,
            f"{AUDIT_STEP}.*",
            "imewe.admin.>",
            LIVE_EVENTS,
        ],
    ),
    "processes": _permit(
        "processes",
        publish=[
            "imewe.command.service.processes.>",
            "imewe.bridge.>",
            "imewe.work.>",
            f"{_API}.STREAM.INFO.IMEWE_WORK",
            *_READ_LOG,
            *_READ_OBJECTS,
            *_WRITE_OBJECTS,
        ],
        subscribe=[LIVE_EVENTS, "imewe.projected.>", "imewe.telemetry.>", "imewe.admin.>"],
    ),
    "projections": _permit(
        "projections",
        publish=[
            "imewe.projected.>",
            _steps("projections"),
            *_READ_LOG,
            *_follow("IMEWE_TELEMETRY"),
        ],
        subscribe=[LIVE_EVENTS, "imewe.telemetry.>", "imewe.admin.>"],
    ),
    "notary": _permit("notary", publish=[_steps("notary")], subscribe=["imewe.admin.notary.>"]),
    "gateway": _permit(
        "gateway",
        publish=[
            "imewe.command.service.gateway.>",
            "imewe.auth.>",
            AUDIT_REPORT,
            AUDIT_READ,
            _steps("gateway"),
            "imewe.admin.>",
            "imewe.stop.>",
            "imewe.bridge.>",
            *_SERVICE,
            *_READ_LOG,
            *_READ_OBJECTS,
            *_WRITE_OBJECTS,
            *_follow("IMEWE_TELEMETRY"),
        ],
        subscribe=[LIVE_EVENTS, "imewe.projected.>", "imewe.telemetry.>"],
    ),
    "bridge": _bridge(EMBEDDED_BRIDGE, ["*"]),
    "supervisor": _permit(
        "supervisor",
        publish=[">"],
        subscribe=[LIVE_EVENTS],
        deny=["imewe.command.>", "imewe.auth.>", "imewe.audit.>"],
    ),
}
