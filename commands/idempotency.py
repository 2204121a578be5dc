"""The same command twice has one effect and one answer.

The truth is the log: an aggregate remembers the commands it obeyed, and an answer can be made again
from it. What is kept here saves that work, and knows whether an id was used for another request.
"""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import blake2b
from threading import Lock
from typing import Any, NamedTuple, Protocol

import orjson
import structlog

from domain.shared.errors import DuplicateCommandError, UnavailableError

KEPT_ANSWERS = 10_000
WAITING_ANSWERS = 1_000
"""Answers not yet in the store; more are given up, for they can be made again."""

log = structlog.get_logger()


class AnswerStore(Protocol):
    """Keeps answers for 24 hours; the first one kept under a name stays."""

    def get(self, name: str) -> bytes | None:
        """The value, or ``None``."""

    def put(self, name: str, value: bytes) -> None:
        """Keep a value. Raises ``UnavailableError``."""


class _Kept(NamedTuple):
    digest: str
    answer: dict[str, Any]


class Once:
    """Runs each named command once at a time and remembers its answer.

    Only good answers are kept: a refusal had no effect, and the same id may be tried again.
    Answers go to the store behind the caller's back, in order, by one thread.
    """

    def __init__(self, store: AnswerStore, *, key: bytes) -> None:
        self._store = store
        self._key = key
        self._lock = Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._running: dict[str, tuple[str, Future[dict[str, Any]]]] = {}
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="answers")
        self._waiting = 0

    def run(
        self, name: str, request: bytes, act: Callable[[], dict[str, Any]], *, owner: str
    ) -> dict[str, Any]:
        """The answer of ``act``, or the one it gave before. ``request``: what was asked, in bytes.

        ``owner``: under whose name the answer is kept in the store, so that it can be found when
        that person is erased; without one it is kept in memory only. Raises
        ``DuplicateCommandError`` when the name stands for another request.
        """
        digest = self._digest(name, request)
        with self._lock:
            kept = self._kept.get(name)
            running = self._running.get(name)
            if kept is None and running is None:
                mine: Future[dict[str, Any]] = Future()
                self._running[name] = (digest, mine)
        if kept is not None:
            return _same(kept, digest)
        if running is not None:
            return _same(_Kept(running[0], {}), digest) or running[1].result()
        return self._first(name, digest, mine, act, place=f"{owner}.{name}" if owner else "")

    def close(self) -> None:
        """Write what waits."""
        self._writer.shutdown()

    def _first(
        self,
        name: str,
        digest: str,
        mine: Future[dict[str, Any]],
        act: Callable[[], dict[str, Any]],
        *,
        place: str,
    ) -> dict[str, Any]:
        try:
            kept = self._look(place) if place else None
            answer = _same(kept, digest) if kept else act()
        except BaseException as error:
            self._end(name, None)
            mine.set_exception(error)
            raise
        self._end(name, _Kept(digest, answer))
        mine.set_result(answer)
        if place and kept is None:
            self._write(place, _Kept(digest, answer))
        return answer

    def _end(self, name: str, kept: _Kept | None) -> None:
        with self._lock:
            del self._running[name]
            if kept is not None:
                self._kept[name] = kept
                if len(self._kept) > KEPT_ANSWERS:
                    self._kept.popitem(last=False)

    def _look(self, name: str) -> _Kept | None:
        value = self._store.get(name)
        return _Kept(**orjson.loads(value)) if value is not None else None

    def _write(self, name: str, kept: _Kept) -> None:
        with self._lock:
            if self._waiting >= WAITING_ANSWERS:
                return
            self._waiting += 1
        self._writer.submit(self._put, name, orjson.dumps(kept._asdict()))

    def _put(self, name: str, value: bytes) -> None:
        try:
            self._store.put(name, value)
        except UnavailableError as error:
            log.warning("answer not kept", command=name, problem=str(error))
        finally:
            with self._lock:
                self._waiting -= 1

    def _digest(self, name: str, request: bytes) -> str:
        """Keyed, because a body may hold a password that could be guessed from a plain hash."""
        return blake2b(name.encode() + request, key=self._key, digest_size=16).hexdigest()


def _same(kept: _Kept, digest: str) -> dict[str, Any]:
    if kept.digest != digest:
        raise DuplicateCommandError(
            "this command id was used for another request", remedy="choose a new id"
        )
    return kept.answer
