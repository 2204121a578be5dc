"""The streams of account ``APP``: work, telemetry and the bucket of artifacts.

The log's own streams are made by the event store. Bounds are parts of the space that nats-server
was given, less what the bounded streams of the log may take, so that nearly half is left for the
log itself, which has no bound.
"""

import json
from collections.abc import Mapping
from typing import Any

from nats.aio.client import Client

from domain.shared.errors import UnavailableError
from ops.messaging.accounts import ARTIFACTS

BESIDE_THE_LOG = 1 << 30
"""Bytes: the bounds of snapshots, timers, audit, secrets and leases together."""
_DAY_NS = 24 * 3600 * 10**9


def app_streams(store_bytes: int) -> list[dict[str, Any]]:
    """Configurations for a server with room for ``store_bytes`` (``LEAST_STORE_BYTES`` or more)."""
    room = store_bytes - BESIDE_THE_LOG
    return [
        {
            "name": "IMEWE_WORK",
            "subjects": ["imewe.work.>"],
            "retention": "workqueue",
            "storage": "file",
            "discard": "new",
            "max_bytes": room // 50,
            "allow_direct": True,
            "duplicate_window": 120 * 10**9,
        },
        {
            "name": "IMEWE_TELEMETRY",
            "subjects": ["imewe.telemetry.>"],
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "max_bytes": room // 10,
            "max_age": _DAY_NS,
            "allow_direct": True,
            "persist_mode": "async",
        },
        {
            "name": f"OBJ_{ARTIFACTS}",
            "subjects": [f"$O.{ARTIFACTS}.C.>", f"$O.{ARTIFACTS}.M.>"],
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "max_bytes": room * 2 // 5,
            "allow_direct": True,
            "allow_rollup_hdrs": True,
        },
    ]


async def ensure_app_streams(client: Client, *, store_bytes: int) -> None:
    """Make what is missing; an existing stream keeps its settings but takes a new bound."""
    for config in app_streams(store_bytes):
        info = await ask(client, f"STREAM.INFO.{config['name']}")
        if "error" not in info:
            if info["config"].get("max_bytes") == config["max_bytes"]:
                continue
            changed = {**info["config"], "max_bytes": config["max_bytes"]}
            answer = await ask(client, f"STREAM.UPDATE.{config['name']}", changed)
        else:
            answer = await ask(client, f"STREAM.CREATE.{config['name']}", config)
        if "error" in answer:
            raise UnavailableError(
                f"stream {config['name']}: {answer['error'].get('description')}",
                remedy="give nats-server more space: IMEWE_STORE_BYTES",
            )


async def ask(client: Client, api: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One request to the JetStream API; the answer may hold ``error``."""
    payload = json.dumps(body).encode() if body else b""
    message = await client.request(f"$JS.API.{api}", payload, timeout=10)
    answer: dict[str, Any] = json.loads(message.data)
    return answer
