"""Connections to nats-server under a user of the contract."""

from typing import Any
from urllib.parse import urlsplit

import structlog
from nats.aio.client import Client, Srv

from domain.shared.errors import InvalidInputError
from ops.eventstore.wire import Address, inbox_prefix
from ops.hosting.errors import NotRunningError
from ops.hosting.home import read_note
from ops.settings import Settings

log = structlog.get_logger()


def nats_url(settings: Settings) -> str:
    """Where the server listens: ``IMEWE_NATS_URL``, else the embedded one's kept port."""
    if settings.nats_url:
        return settings.nats_url
    port = read_note(settings.home / "nats.json").get("port")
    if not port:
        raise NotRunningError(
            f"{settings.home} runs no nats-server", remedy="start it with imewe up"
        )
    return f"nats://127.0.0.1:{port}"


def address(settings: Settings, user: str) -> Address:
    """Where and as whom the event store's own client connects."""
    parts = urlsplit(nats_url(settings))
    if not parts.hostname:
        raise InvalidInputError(
            f"IMEWE_NATS_URL {settings.nats_url!r} names no host", field="IMEWE_NATS_URL"
        )
    name, password = credentials(settings, user)
    return Address(host=parts.hostname, port=parts.port or 4222, user=name, password=password)


def credentials(settings: Settings, user: str) -> tuple[str, str]:
    """``(user, password)`` from the home, or from ``IMEWE_NATS_CREDENTIALS``."""
    path = settings.nats_credentials or settings.home / "credentials.json"
    known = read_note(path)
    if user not in known:
        raise NotRunningError(
            f"{path} holds no password of NATS user {user!r}", remedy="start it with imewe up"
        )
    return user, known[user]


def nats_options(settings: Settings, user: str) -> dict[str, Any]:
    """Keyword arguments of ``nats.connect`` for ``user``: reconnects for ever, says so once."""
    name, password = credentials(settings, user)
    last = ""

    async def on_error(error: Exception) -> None:
        nonlocal last
        text = str(error) or type(error).__name__
        if text != last:
            last = text
            log.warning("nats", user=name, problem=text)

    async def on_reconnect() -> None:
        nonlocal last
        last = ""
        log.info("nats is back", user=name)

    return {
        "servers": [nats_url(settings)],
        "user": name,
        "password": password,
        "name": f"imewe-{name}",
        "inbox_prefix": inbox_prefix(name).encode(),
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.25,
        "ping_interval": 20,
        "max_outstanding_pings": 3,
        "error_cb": on_error,
        "reconnected_cb": on_reconnect,
    }


async def connect(settings: Settings, user: str, **options: Any) -> Client:
    """A connection as ``user``; ``options`` go before ``nats_options``.

    With ``allow_reconnect=False`` it raises ``nats.errors.Error`` or ``OSError`` when the server
    does not answer soon; else it waits for the server.
    """
    merged = {**nats_options(settings, user), **options}
    if not merged.get("allow_reconnect", True):
        merged["max_reconnect_attempts"] = 1  # nats-py asks for ever otherwise, even at first
    client = _TidyClient()
    try:
        await client.connect(**merged)
    except BaseException:
        client.let_go()
        raise
    return client


class _TidyClient(Client):
    """nats-py leaves a connection open whose handshake failed, and opens the next one."""

    def let_go(self) -> None:
        """Close the connection, if there is one."""
        if self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call]

    async def _connect_to_server(self, s: Srv) -> None:
        self.let_go()
        await super()._connect_to_server(s)
