"""`imewe run SERVICE`: one service in this process."""

import faulthandler
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Annotated, cast

import typer

from domain.shared.errors import InvalidInputError
from ops import failpoints
from ops.cli.homes import Home
from ops.observability.logging import configure
from ops.settings import Settings

Service = Callable[[Settings], None]

REGISTRY = {
    "commands": "ops.services.commands:main",
    "processes": "ops.services.processes:main",
    "projections": "ops.services.projections:main",
    "telemetry": "ops.services.telemetry:main",
    "notary": "ops.services.notary:main",
    "gateway": "ops.services.gateway:main",
    "bridge": "ops.services.bridge:main",
    "virtual-shop": "ops.services.virtual_shop:main",
}
GRACE_S = 4.0


def run(
    service: Annotated[str, typer.Argument(help=f"One of: {', '.join(REGISTRY)}.")],
    home: Home = None,
    *,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
) -> None:
    """Run one service until it is told to stop (for a cluster, or under `imewe up`).

    Example: imewe run gateway --home /srv/imewe
    """
    settings = Settings.from_environment(home)
    main = load(service)
    configure(settings.log_format, service=service)
    faulthandler.enable()
    failpoints.watch(settings.fail_points)
    if supervised:
        threading.Thread(target=end_with_parent, name="lifeline", daemon=True).start()
    main(settings)


def load(service: str) -> Service:
    """The blocking entrance of a service, imported only now: the others stay unloaded."""
    if service not in REGISTRY:
        raise InvalidInputError(
            f"no service {service!r}", field="service", remedy=f"one of {', '.join(REGISTRY)}"
        )
    module, _, name = REGISTRY[service].partition(":")
    return cast(Service, vars(importlib.import_module(module))[name])


def end_with_parent() -> None:
    """Wait for the end of standard input: the supervisor is gone, however it went.

    The kernel sent SIGTERM too (on Linux); this is for a service that does not obey it.
    """
    while os.read(sys.stdin.fileno(), 512):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE_S)
    os._exit(1)
