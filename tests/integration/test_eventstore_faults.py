"""Saving while answers get lost and the server is killed."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import IntegrityError

from domain.shared.errors import ForbiddenError, UnavailableError
from ops.eventstore.chain import verify
from ops.eventstore.client import Client
from ops.eventstore.jetstream import JetStreamFactory
from ops.eventstore.wire import Address
from ops.messaging.server import EmbeddedNats
from ops.settings import Settings
from tests.eventlog import OwnLog, an_envelope, fact, own_log, records


@pytest.fixture
def log(nats_server: EmbeddedNats, settings: Settings) -> Iterator[OwnLog]:
    with own_log(nats_server, settings) as log:
        yield log


class AnswerThief:
    """Forwards to a server, and ends the connection in the place of the next ``lose`` answers."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.lose = 0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._sockets = [self._listener]
        self._threads[0].start()

    def close(self) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [client, server]
            for pair in ((client, server, False), (server, client, True)):
                self._threads.append(threading.Thread(target=self._pump, args=pair, daemon=True))
                self._threads[-1].start()

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                if answers and self.lose and b'"stream":' in chunk:
                    self.lose -= 1
                    break
                sink.sendall(chunk)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def thief(nats_server: EmbeddedNats) -> Iterator[AnswerThief]:
    thief = AnswerThief(nats_server.port)
    yield thief
    thief.close()


def behind(thief: AnswerThief, log: OwnLog) -> JetStreamFactory:
    log.factories.append(JetStreamFactory({**log.env, "NATS_PORT": str(thief.port)}))
    return log.factories[-1]


@pytest.mark.parametrize("events", [1, 3])
def test_a_save_whose_answer_was_lost_is_found_in_the_log(
    log: OwnLog, thief: AnswerThief, events: int
) -> None:
    recorder = behind(thief, log).application_recorder()
    job = uuid4()
    recorder.insert_events([fact(job, 1)], envelope=an_envelope())
    thief.lose = 1
    more = [fact(job, 2 + n, n=n) for n in range(events)]
    assert recorder.insert_events(more, envelope=an_envelope()) == list(range(2, 2 + events))
    assert thief.lose == 0
    assert recorder.insert_events([fact(job, 2 + events)]) == [2 + events]
    assert verify(records(log), last=2 + events) is None


def test_a_lost_answer_is_not_mistaken_for_somebody_elses_event(
    log: OwnLog, thief: AnswerThief
) -> None:
    recorder = behind(thief, log).application_recorder()
    job = uuid4()
    recorder.insert_events([fact(job, 1)])
    log.factory().application_recorder().insert_events([fact(job, 2, by="another")])
    thief.lose = 1
    with pytest.raises(IntegrityError):
        recorder.insert_events([fact(job, 2, by="me")])
    assert [r.body for r in records(log)] == [b"{}", b'{"by":"another"}']


def test_a_server_that_is_away_is_a_clear_refusal(log: OwnLog) -> None:
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    client = Client(Address(host="127.0.0.1", port=port), timeout=0.2)
    with pytest.raises(UnavailableError):
        client.request("$JS.API.INFO")
    client.close()


def test_killing_the_server_loses_nothing_that_was_acknowledged(
    fresh_nats: EmbeddedNats, fresh_settings: Settings, long_tests: bool
) -> None:
    with own_log(fresh_nats, fresh_settings) as log:
        acknowledged: list[tuple[UUID, int, int]] = []
        stop = threading.Event()

        def save(size: int) -> None:
            recorder = log.factory().application_recorder()
            job, version = uuid4(), 0
            while not stop.is_set():
                events = [fact(job, version + n) for n in range(1, size + 1)]
                positions = recorder.insert_events(events)
                assert positions is not None
                version += size
                acknowledged.append((job, version, positions[-1]))

        writers = [threading.Thread(target=save, args=(size,)) for size in (1, 1, 4)]
        for writer in writers:
            writer.start()
        for _ in range(20 if long_tests else 2):
            time.sleep(0.3)
            fresh_nats.kill()
            fresh_nats.finish_stop(5)
            fresh_nats.start()
        time.sleep(0.3)
        stop.set()
        for writer in writers:
            writer.join(30)
        found = {(r.aggregate, r.version): r.sequence for r in records(log)}
        assert len(acknowledged) > 50
        for job, version, position in acknowledged:
            assert found[str(job), version] == position
        assert verify(records(log)) is None


def test_passwords_are_needed(nats_server: EmbeddedNats) -> None:
    wrong = Address(host="127.0.0.1", port=nats_server.port, user="log_commands", password="no")
    client = Client(wrong, timeout=1.0)
    with pytest.raises(ForbiddenError, match="Authorization"):
        client.request("$JS.API.INFO")
    client.close()
