"""What a person needs to come in: the gateway's address and the first admin."""

import json
import socket
from dataclasses import dataclass

from ops.hosting.home import new_secret, read_note, write_private
from ops.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstAdmin:
    """The account that the first start makes. Kept 0600 in the home beside the other secrets."""

    mail: str
    password: str


def http_port(settings: Settings) -> int:
    """The gateway's port: as set, else the home's own, chosen once and kept."""
    if settings.http_port:
        return settings.http_port
    path = settings.home / "http.json"
    if kept := read_note(path).get("port"):
        return int(kept)
    return _choose(settings)


def settle_http_port(settings: Settings) -> int:
    """Before the gateway starts: choose again when somebody else took the kept port."""
    port = http_port(settings)
    if settings.http_port or _is_free(settings.http_host, port):
        return port
    return _choose(settings)


def gateway_url(settings: Settings) -> str:
    """The address for a browser on this machine."""
    host = settings.http_host
    if host in ("", "0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{http_port(settings)}"


def first_admin(settings: Settings) -> FirstAdmin:
    """Mail and password of the first admin: as set, else the home's own, made once."""
    path = settings.home / "admin.json"
    kept = read_note(path)
    if not kept or (settings.admin_password and settings.admin_password != kept["password"]):
        password = settings.admin_password or new_secret()[:16]
        kept = {"mail": settings.admin_mail, "password": password}
        write_private(path, json.dumps(kept))
    return FirstAdmin(mail=kept["mail"], password=kept["password"])


def _choose(settings: Settings) -> int:
    with socket.create_server((settings.http_host, 0)) as probe:
        port = int(probe.getsockname()[1])
    write_private(settings.home / "http.json", json.dumps({"port": port}))
    return port


def _is_free(host: str, port: int) -> bool:
    try:
        with socket.create_server((host, port)):
            return True
    except OSError:
        return False
