"""Looks up stored files from threads, on a connection that lives in an event loop."""

import asyncio
from collections import OrderedDict
from concurrent.futures import TimeoutError as NoAnswerError
from threading import Lock

from nats.aio.client import Client

from domain.ports import ArtifactRef
from domain.shared.errors import UnavailableError
from ops.artifacts.store import JetStreamArtifactStore

REMEMBERED = 2_000
PATIENCE_S = 5.0


class LoopCatalogue:
    """What a digest names never changes, so what was found once is not looked up again."""

    def __init__(self, loop: asyncio.AbstractEventLoop, client: Client) -> None:
        self._loop = loop
        self._store = JetStreamArtifactStore(client)
        self._known: OrderedDict[tuple[str, str], ArtifactRef] = OrderedDict()
        self._lock = Lock()

    def info(self, digest: str, organisation_id: str) -> ArtifactRef:
        """The file of that organisation. Raises ``NotFoundError`` and ``UnavailableError``."""
        key = (organisation_id, digest)
        with self._lock:
            known = self._known.get(key)
        if known is None:
            known = self._look(digest, organisation_id)
            with self._lock:
                self._known[key] = known
                if len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
        return known

    def _look(self, digest: str, organisation_id: str) -> ArtifactRef:
        question = self._store.info(digest, organisation_id=organisation_id)
        asked = asyncio.run_coroutine_threadsafe(question, self._loop)
        try:
            return asked.result(PATIENCE_S)
        except NoAnswerError as error:
            asked.cancel()
            raise UnavailableError("the file store does not answer") from error
