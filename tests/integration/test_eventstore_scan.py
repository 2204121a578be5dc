"""Long reads: the server finds what follows while the reader is busy, and nothing depends on it."""

import contextlib
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from ops.eventstore.client import Client, Pending
from ops.eventstore.envelope import Record
from ops.eventstore.reader import STRETCH, LogReader
from ops.eventstore.scan import PULL
from ops.messaging.server import EmbeddedNats
from ops.settings import Settings
from tests.eventlog import OwnLog, an_envelope, fact, own_log

WRITTEN = 3 * PULL + 130


@pytest.fixture(scope="module")
def log(nats_server: EmbeddedNats, settings: Settings) -> Iterator[OwnLog]:
    """A log of more events than two questions of a scan ask for."""
    with own_log(nats_server, settings) as log:
        _write(log, WRITTEN)
        yield log


@pytest.fixture
def client(log: OwnLog) -> Iterator[Client]:
    with contextlib.closing(Client(log.address("log_commands"))) as client:
        yield client


@pytest.fixture
def reader(log: OwnLog, client: Client) -> Iterator[LogReader]:
    with contextlib.closing(LogReader(client, names=log.names)) as reader:
        yield reader


def _write(log: OwnLog, events: int) -> None:
    recorder = log.factory().application_recorder()
    for _ in range(0, events, 10):
        aggregate = uuid4()
        recorder.insert_events(
            [fact(aggregate, version, to=version) for version in range(1, 11)],
            envelope=an_envelope(),
        )


def _through_gets(log: OwnLog, client: Client) -> LogReader:
    """A reader that may make no consumer, as those of account APP."""
    return LogReader(client, names=log.names, get_subject=f"$JS.API.DIRECT.GET.{log.names.stream}")


def _whole(reader: LogReader, limit: int) -> list[Record]:
    found: list[Record] = []
    while more := reader.read_raw(len(found), limit):
        found += more
    return found


def _consumers(log: OwnLog, client: Client) -> list[str]:
    names = client.api(f"CONSUMER.NAMES.{log.names.stream}")["consumers"]
    return list(names or [])


def _until_there_are(count: int, log: OwnLog, client: Client) -> None:
    until = time.monotonic() + 25  # by itself the server forgets one after 30 s
    while len(_consumers(log, client)) != count:
        assert time.monotonic() < until, f"never {count}"
        time.sleep(0.02)


@pytest.mark.parametrize("limit", [STRETCH, 200, 1000, 5000])
def test_a_scan_finds_exactly_what_direct_gets_find(
    log: OwnLog, client: Client, reader: LogReader, limit: int
) -> None:
    with contextlib.closing(_through_gets(log, client)) as plain:
        expected = _whole(plain, limit)
    assert [record.sequence for record in expected] == list(range(1, WRITTEN + 1))
    assert _whole(reader, limit) == expected


def test_a_scan_that_ends_early_leaves_no_gap(
    log: OwnLog, client: Client, reader: LogReader
) -> None:
    found = reader.read_raw(0, STRETCH)
    for name in _consumers(log, client):
        client.api(f"CONSUMER.DELETE.{log.names.stream}.{name}")
    while more := reader.read_raw(len(found), STRETCH):
        found += more
    assert [record.sequence for record in found] == list(range(1, WRITTEN + 1))


def test_the_server_keeps_no_consumer_of_a_reader_that_is_done(log: OwnLog, client: Client) -> None:
    reader = LogReader(client, names=log.names)
    reader.read_raw(0, STRETCH)
    _until_there_are(1, log, client)  # the server may still be busy forgetting earlier readers'
    reader.close()
    _until_there_are(0, log, client)


def test_no_reader_that_stops_in_mid_run_leaves_a_consumer(log: OwnLog, client: Client) -> None:
    """What it did not take is still in its socket, and closing that resets the connection."""
    for _ in range(200):
        with contextlib.closing(LogReader(client, names=log.names)) as reader:
            assert len(reader.read_raw(0, STRETCH)) == STRETCH
    _until_there_are(0, log, client)


@pytest.mark.parametrize("limit", [1, STRETCH - 1])
def test_who_wants_a_few_has_nothing_found_ahead(
    log: OwnLog, client: Client, reader: LogReader, limit: int
) -> None:
    _until_there_are(0, log, client)  # of earlier readers
    assert len(reader.read_raw(5, limit)) == limit
    assert _consumers(log, client) == []
    with contextlib.closing(_Counting(log.address("log_commands"))) as counting:
        plain = _through_gets(log, counting)
        assert len(plain.read_raw(5, limit)) == limit
        assert counting.begun == 0
        plain.read_raw(5, STRETCH)
        assert counting.begun == 1
        plain.close()


class _Counting(Client):
    """Counts the questions that nobody has waited for yet."""

    begun = 0

    def begin(self, subject: str, body: bytes) -> Pending:
        self.begun += 1
        return super().begin(subject, body)


def test_a_scan_goes_on_behind_another_position_than_its_own(reader: LogReader) -> None:
    assert len(reader.read_raw(0, STRETCH)) == STRETCH
    assert [each.sequence for each in reader.read_raw(700, STRETCH)][:2] == [701, 702]
    assert [each.sequence for each in reader.read_raw(2, STRETCH)][:2] == [3, 4]
