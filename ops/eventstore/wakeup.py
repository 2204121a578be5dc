"""The sign for followers that there is something new."""

import threading
import time

from domain.shared.errors import UnavailableError
from ops.eventstore.wire import Address, Connection, ConnectionLostError, NoAnswerError


class WakeUp:
    """Tells a follower that something was published. One caller waits at a time.

    Any thread may stop it, at any time: also before it begins, and then it never does.
    """

    def __init__(self, address: Address, subject: str, *, timeout: float) -> None:
        self._address = address
        self._subject = subject
        self._timeout = timeout
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._begun = False
        self._stopped = False

    def begin(self) -> None:
        """Listen from now on, once. Raises ``UnavailableError``."""
        if not self._begun and not self._stopped:
            self._keep(self._connect())

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
        self._keep(connection)
        return True

    def _keep(self, connection: Connection) -> None:
        """Nobody would close what is kept after ``stop``."""
        with self._lock:
            self._begun = True
            if not self._stopped:
                self._connection = connection
                return
        connection.close()

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
