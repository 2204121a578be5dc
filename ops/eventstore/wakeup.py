"""The sign for followers that there is something new."""

import threading
import time

from domain.shared.errors import UnavailableError
from ops.eventstore.wire import Address, Connection, ConnectionLostError, NoAnswerError


class WakeUp:
    """Tells a follower that something was published. One caller waits at a time."""

    def __init__(self, address: Address, subject: str, *, timeout: float) -> None:
        self._address = address
        self._subject = subject
        self._timeout = timeout
        self._connection: Connection | None = self._connect()
        self._lock = threading.Lock()
        self._stopped = False

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds. True: look now; also after a lost connection."""
        until = time.monotonic() + timeout
        if self._stopped:
            return True
        try:
            connection = self._connection
            if connection is None:
                return self._again(until)
            connection.receive(until)
            connection.drain()
        except NoAnswerError:
            return False
        except ConnectionLostError:
            self._forget()
        return True

    def stop(self) -> None:
        """Wake the waiting caller for good."""
        with self._lock:
            self._stopped = True
        self._forget()

    def _again(self, until: float) -> bool:
        try:
            connection = self._connect()
        except UnavailableError:
            time.sleep(max(0.0, min(0.5, until - time.monotonic())))
            return False
        with self._lock:
            if not self._stopped:
                self._connection = connection
                return True
        connection.close()
        return True

    def _connect(self) -> Connection:
        connection = Connection(self._address, time.monotonic() + self._timeout)
        try:
            connection.send(b"SUB %b 2\r\n" % self._subject.encode())
            connection.flush(time.monotonic() + self._timeout)
        except BaseException:
            connection.close()
            raise
        return connection

    def _forget(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
