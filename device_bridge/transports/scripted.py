"""A wire for tests: it answers what a script says and remembers what was written."""

from collections.abc import Callable

from device_bridge.errors import DeviceError, LinkLostError


class ScriptedTransport:
    """Answers each written line by ``answer(line)``, at once and in the same call."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.written: list[bytes] = []
        self.urgent: list[bytes] = []
        self._answer = answer
        self._received: Callable[[bytes], None] | None = None
        self._lost: Callable[[DeviceError], None] | None = None

    def open(self, received: Callable[[bytes], None], lost: Callable[[DeviceError], None]) -> None:
        """Remember whom to tell."""
        self._received, self._lost = received, lost

    def write(self, data: bytes) -> None:
        """Record the lines and feed their answers back."""
        if self._received is None:
            raise LinkLostError("the scripted wire is closed")
        for line in data.splitlines(keepends=True):
            self.written.append(line)
            if reply := self._answer(line):
                self.say(reply)

    def write_now(self, data: bytes) -> None:
        """Record an urgent write apart from the others."""
        self.urgent.append(data)
        if reply := self._answer(data):
            self.say(reply)

    def say(self, data: bytes) -> None:
        """The machine speaks by itself."""
        if self._received is not None:
            self._received(data)

    def unplug(self) -> None:
        """The machine goes away."""
        if self._lost is not None:
            self._lost(LinkLostError("unplugged by the script"))

    def reset_board(self) -> bool:
        """There is no board."""
        return False

    def close(self) -> None:
        """Forget whom to tell."""
        self._received = self._lost = None
