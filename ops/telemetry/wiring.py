"""Puts the ingest of telemetry together with the servers of an installation."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from ops.eventstore.client import Client
from ops.messaging.connection import address
from ops.projecting.wiring import NATS_USER, connected
from ops.settings import Settings
from ops.telemetry.chores import Chores
from ops.telemetry.ingest import Ingest
from ops.telemetry.stream import TelemetryStream

STANDSTILL_S: Final = 30
STOP_S: Final = 2.0


@contextmanager
def ingesting(settings: Settings) -> Iterator[threading.Thread]:
    """An ingest in a thread of its own, for as long as the context lasts."""
    client = Client(address(settings, NATS_USER))
    stream = TelemetryStream(client)
    chores = Chores(settings, now=lambda: time.time_ns() // 1_000_000)
    connect = partial(connected, settings, idle_s=STANDSTILL_S)
    ingest = Ingest(stream, connect, chores=chores)
    thread = threading.Thread(target=ingest.run, name="telemetry", daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        ingest.stop()
        stream.stop()
        thread.join(STOP_S)
        chores.close()
        stream.close()
        client.close()


@contextmanager
def beside_projections(settings: Settings) -> Iterator[None]:
    """The same inside the projections service, unless `imewe run telemetry` does it apart."""
    if settings.telemetry_apart:
        yield
        return
    with ingesting(settings):
        yield
