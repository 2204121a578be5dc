"""The NATS services protocol ($SRV PING, INFO, STATS): how services are found and asked."""

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import nats.micro
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.micro.service import Service, ServiceConfig

from ops.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningService:
    """One instance that answered a ping."""

    name: str
    id: str
    version: str
    pid: int
    metadata: Mapping[str, str]


async def register(
    client: Client, settings: Settings, service: str, *, metadata: Mapping[str, str] | None = None
) -> Service:
    """Announce this process as ``imewe-<service>``; ``stop()`` the answer to take it back."""
    own = {"pid": str(os.getpid()), "home": str(settings.home), **(metadata or {})}
    config = ServiceConfig(
        name=f"imewe-{service}",
        version=semantic(version("imewe")),
        description=f"Imewe's {service} service",
        metadata=own,
    )
    return await nats.micro.add_service(client, config)


async def ping_all(client: Client, *, wait: float = 0.4) -> list[RunningService]:
    """Every Imewe service that answers within ``wait`` seconds, by name."""
    found: list[RunningService] = []

    async def answered(message: Msg) -> None:
        answer = json.loads(message.data or b"{}")
        if str(answer.get("name", "")).startswith("imewe-"):
            found.append(_running(answer))

    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, cb=answered)
    await client.publish("$SRV.PING", reply=inbox)
    await asyncio.sleep(wait)
    await subscription.unsubscribe()
    return sorted(found, key=lambda each: (each.name, each.pid))


def semantic(text: str) -> str:
    """A Python version as the protocol wants it: ``0.1.0.dev0`` becomes ``0.1.0-dev0``."""
    parts = text.split(".")
    return ".".join(parts[:3]) + ("-" + ".".join(parts[3:]) if parts[3:] else "")


def _running(answer: dict[str, Any]) -> RunningService:
    metadata = {str(key): str(value) for key, value in (answer.get("metadata") or {}).items()}
    return RunningService(
        name=answer["name"].removeprefix("imewe-"),
        id=answer["id"],
        version=answer["version"],
        pid=int(metadata.get("pid", 0)),
        metadata=metadata,
    )
