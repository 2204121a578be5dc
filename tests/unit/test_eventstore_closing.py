"""Connections to the log that one thread opens while another closes."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from domain.shared.errors import UnavailableError
from ops.eventstore.client import Client
from ops.eventstore.reader import LogReader
from ops.eventstore.wakeup import WakeUp
from ops.eventstore.wire import Address, Connection, ConnectionLostError
from ops.notary.log_source import LogSource

PATIENCE_S = 30.0
MUCH = 16 * 1024 * 1024
"""More than two sockets hold between them."""


class Greeter:
    """Speaks as much NATS as it takes to be connected to, once it ``may`` greet."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address(host="127.0.0.1", port=self._listener.getsockname()[1])
        self.may_greet = threading.Event()
        self.may_read = threading.Event()
        self.may_greet.set()
        self.may_read.set()
        self.came = 0
        self.went = 0
        self.bytes = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self.may_greet.set()
        self.may_read.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.came += 1
                self._threads.append(threading.Thread(target=self._talk, args=(client,)))
                self._threads[-1].start()

    def _talk(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            self.may_greet.wait(PATIENCE_S)
            client.sendall(b"INFO {}\r\n")
            while chunk := client.recv(65536):
                self.bytes += len(chunk)
                if b"PING\r\n" in chunk:
                    client.sendall(b"PONG\r\n")
                    self.may_read.wait(PATIENCE_S)
        self.went += 1


@pytest.fixture
def greeter() -> Iterator[Greeter]:
    greeter = Greeter()
    yield greeter
    greeter.close()


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("kind", [LogReader, LogSource])
def test_a_follower_that_was_stopped_before_it_listened_never_does(
    greeter: Greeter, kind: type[LogReader] | type[LogSource]
) -> None:
    with contextlib.closing(Client(greeter.address)) as client:
        follower = kind(client)
        follower.stop()
        assert follower.wait(PATIENCE_S)
    assert greeter.came == 0


def test_a_follower_is_stopped_without_a_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    LogReader(Client(Address(host="127.0.0.1", port=port))).stop()


@pytest.mark.parametrize("how", [WakeUp.begin, lambda wake_up: wake_up.wait(PATIENCE_S)])
def test_a_stop_while_the_connection_is_being_opened_leaves_none(
    greeter: Greeter, how: Callable[[WakeUp], object]
) -> None:
    greeter.may_greet.clear()
    wake_up = WakeUp(greeter.address, "live.>", timeout=PATIENCE_S)
    beginning = threading.Thread(target=how, args=(wake_up,))
    beginning.start()
    until(lambda: greeter.came == 1)
    wake_up.stop()
    greeter.may_greet.set()
    beginning.join(PATIENCE_S)
    until(lambda: greeter.went == 1)
    assert wake_up.wait(0)
    assert greeter.came == 1


def test_reading_from_a_closed_connection_says_that_it_is_lost(greeter: Greeter) -> None:
    connection = Connection(greeter.address, time.monotonic() + PATIENCE_S)
    connection.close()
    with pytest.raises(ConnectionLostError):
        connection.receive(time.monotonic() + PATIENCE_S)


def test_what_is_too_much_for_the_socket_is_sent_after_a_look_without_time(
    greeter: Greeter,
) -> None:
    greeter.may_read.clear()
    connection = Connection(greeter.address, time.monotonic() + PATIENCE_S)
    with contextlib.closing(connection):
        connection.drain()
        later = threading.Timer(0.2, greeter.may_read.set)
        later.start()
        connection.send(bytes(MUCH))
        later.join()
        until(lambda: greeter.bytes > MUCH)


def test_a_client_closes_what_it_lent_and_lends_nothing_more(greeter: Greeter) -> None:
    client = Client(greeter.address, timeout=PATIENCE_S)
    client.lend()
    client.close()
    until(lambda: greeter.went == 1)
    with pytest.raises(UnavailableError, match="closed"):
        client.lend()
