"""A log of its own with the real streams and users, and notaries that follow it."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

from ops.clock import SystemClock
from ops.eventstore.chain import Flaw
from ops.eventstore.client import Client
from ops.eventstore.streams import LogNames, ensure_streams
from ops.messaging.server import EmbeddedNats, credentials
from ops.notary.head_stream import HeadStream
from ops.notary.heads import Head
from ops.notary.ledger import Ledger
from ops.notary.log_source import LogSource
from ops.notary.notary import Notary
from ops.notary.status import Pace, Phase, Status
from tests.eventlog import OwnLog, fact

DEADLINE_S = 30.0


class Shop(OwnLog):
    """A log that facts are written to; ``aggregates`` say what is there."""

    def open(self) -> None:
        supervisor = Client(self.address("log_supervisor"))
        ensure_streams(supervisor)
        supervisor.close()
        self.recorder = self.factory().application_recorder()
        self.versions: dict[UUID, int] = {}

    def write(self, count: int, *, aggregates: int = 3) -> None:
        """Add facts about a few aggregates."""
        while len(self.versions) < aggregates:
            self.versions[uuid4()] = 0
        known = list(self.versions)
        for number in range(count):
            one = known[number % len(known)]
            self.versions[one] += 1
            self.recorder.insert_events([fact(one, self.versions[one], number=number)])

    def close(self) -> None:
        for factory in self.factories:
            factory.close()

    def heads(self) -> list[Head]:
        """Every head of the stream, in order."""
        client = Client(self.address("log_notary"))
        found = [
            Head.read(each.note.rpartition("\n\n")[0] + "\n")
            for each in HeadStream(client).after(0)
            if not each.is_key
        ]
        client.close()
        return found


@contextlib.contextmanager
def opened_shop(server: EmbeddedNats, home: Path) -> Iterator[Shop]:
    shop = Shop(server=server, passwords=credentials(home), names=LogNames())
    shop.open()
    yield shop
    shop.close()


class Following:
    """One notary in a thread."""

    def __init__(self, shop: Shop, home: Path, pace: Pace) -> None:
        self.flaws: list[Flaw] = []
        self._client = Client(shop.address("log_notary"))
        self._reader = LogSource(self._client)
        self.stream = HeadStream(self._client)
        now = SystemClock().now
        self.notary = Notary(
            home,
            self._reader,
            lambda: Ledger(self.stream, home, now=now),
            pace=pace,
            on_flaw=self.flaws.append,
        )
        self._thread = threading.Thread(target=self.notary.run)
        self._thread.start()

    def until(self, wanted: Callable[[Status], bool]) -> Status:
        """Wait for a state; fails with what it was last."""
        until = time.monotonic() + DEADLINE_S
        while not wanted(status := self.notary.status()):
            assert time.monotonic() < until, status
            assert self._thread.is_alive(), "the notary ended"
            time.sleep(0.02)
        return status

    def until_signed(self, size: int) -> Status:
        return self.until(lambda status: status.signed >= size or status.flaw is not None)

    def until_flawed(self) -> Flaw:
        flaw = self.until(lambda status: status.phase is Phase.STOPPED_BY_FLAW).flaw
        assert flaw is not None
        return flaw

    def stop(self) -> None:
        self.notary.stop()
        self._thread.join(DEADLINE_S)
        self._reader.stop()
        self._client.close()


@contextlib.contextmanager
def following(
    shop: Shop, home: Path, *, events: int = 10, seconds: float = 0.2
) -> Iterator[Following]:
    """A notary that signs often."""
    home.mkdir(exist_ok=True)
    running = Following(shop, home, Pace(events=events, seconds=seconds))
    try:
        yield running
    finally:
        running.stop()
