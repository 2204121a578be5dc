"""The log as it is stored, for who checks it: nothing is decoded, no code of events is loaded."""

from ops.eventstore.client import Client
from ops.eventstore.envelope import Record
from ops.eventstore.loading import LogFiles
from ops.eventstore.streams import LogNames
from ops.eventstore.wakeup import WakeUp


class LogSource:
    """Reads records in the order of the log, on a connection of account ``LOG``."""

    def __init__(self, client: Client, *, names: LogNames | None = None) -> None:
        names = names or LogNames()
        self._client = client
        self._info = f"STREAM.INFO.{names.stream}"
        self._wake_up = client.subscribe(f"{names.live}.>")
        self._files = LogFiles(
            client, direct_get=f"$JS.API.DIRECT.GET.{names.stream}", subjects=names.subjects
        )

    def read_raw(self, after: int, limit: int) -> list[Record]:
        """Up to ``limit`` records behind a sequence; empty when there are none yet."""
        self._listen()
        return self._files.stretch(after + 1, limit)

    def last_position(self) -> int:
        """The sequence of the newest record, 0 for an empty log."""
        return int(self._client.api(self._info)["state"]["last_seq"])

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for a sign that there is more than was read."""
        return self._listen().wait(timeout)

    def stop(self) -> None:
        """End a waiting ``wait`` of another thread, and all later ones at once."""
        self._wake_up.stop()

    def _listen(self) -> WakeUp:
        """Listening begins before the first read, or what came between would be missed."""
        self._wake_up.begin()
        return self._wake_up
