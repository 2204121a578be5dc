"""The notary: follows the log, keeps both trees over it, and signs heads over what it checked.

It signs nothing over a flaw: a broken chain, a changed or missing event, a log that is shorter
than what was signed, a stream of heads that lost its newest or was forked.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from domain.shared.errors import ConflictError, ImeweError, UnavailableError
from ops import failpoints
from ops.eventstore.chain import Flaw
from ops.notary.comparing import CHANGED, differs
from ops.notary.keys import Rotation
from ops.notary.ledger import FlawError, Ledger
from ops.notary.log_source import LogSource
from ops.notary.state import FOLDER, NotaryState
from ops.notary.status import Pace, Phase, Status

SAVED = 50_000
"""Events after which the state is saved although no head is signed."""
COMPARED = 1000
"""Events that are compared with the kept tree at a time."""
LONGEST_WAIT_S = 5.0
AGAIN_S = 1.0
GATHER_S = 0.25
"""After a sign that there is more: what comes in a burst is taken together."""

log = structlog.get_logger()


class Notary:
    """Runs in a thread of its own; the other methods may be called from any.

    ``ledger`` makes a fresh view of the stream of heads. ``on_flaw`` is called once, from the
    notary's thread, with the first flaw.
    """

    def __init__(
        self,
        home: Path,
        source: LogSource,
        ledger: Callable[[], Ledger],
        *,
        pace: Pace | None = None,
        on_flaw: Callable[[Flaw], None] = lambda _: None,
    ) -> None:
        self._home = home
        self._source = source
        self._make_ledger = ledger
        self._pace = pace or Pace()
        self._on_flaw = on_flaw
        self._turn = threading.RLock()
        self._stopping = threading.Event()
        self._state: NotaryState | None = None
        self._ledger = ledger()
        self._phase = Phase.STARTING
        self._flaw: Flaw | None = None
        self._trouble = ""
        self._since: float | None = None
        self._saved = 0
        self._suspect: Flaw | None = None
        self._stale = False

    def run(self) -> None:
        """Follow the log until ``stop``."""
        try:
            while not self._stopping.is_set():
                with self._troubles():
                    self._step()
        finally:
            self._close()

    def stop(self) -> None:
        """End ``run`` soon; what was taken since the last head is taken again at the next start."""
        self._stopping.set()
        self._source.stop()

    def status(self) -> Status:
        """How far it is now. Raises ``UnavailableError`` when the log does not answer."""
        state = self._state
        return Status(
            phase=self._phase,
            origin=self._ledger.origin,
            signed=self._ledger.signed,
            taken=state.size if state else 0,
            log_end=self._source.last_position(),
            flaw=self._flaw,
            trouble=self._trouble,
        )

    def known_keys(self) -> list[tuple[Rotation, str]]:
        """Every key that ever signed, the oldest first, with the notes that say so."""
        return self._ledger.keys

    def rotate(self) -> Rotation:
        """Sign what is there with the old key, and go on with a new one.

        Raises ``ConflictError`` when the notary is not following the log.
        """
        with self._turn:
            state = self._state
            if self._phase is not Phase.FOLLOWING or state is None or self._ledger.unproved:
                raise ConflictError(
                    "the notary is not signing now", remedy="see imewe audit status"
                )
            if state.size > self._ledger.signed and not self._sign(state):
                raise ConflictError("another notary signed first", remedy="try again")
            self._stale = True
            rotation = self._ledger.rotate()
            self._stale = False
            state.save(**self._ledger.words())
        log.info("a new key signs", number=rotation.number, key=rotation.key.text)
        return rotation

    def _step(self) -> None:
        if self._flaw is not None:
            self._stopping.wait(LONGEST_WAIT_S)
        elif self._state is None or self._phase is not Phase.FOLLOWING:
            self._begin()
        elif not self._follow(self._state):
            self._wait(self._state)

    def _begin(self) -> None:
        self._close()
        with self._turn:
            self._state = state = NotaryState(self._home)
            self._ledger = ledger = self._make_ledger()
            ledger.recall({name: state.kept(name) for name in ledger.words()})
            ledger.look()
            ledger.begin()
        self._reaches(max(ledger.signed, state.size))
        self._compare(state)
        ledger.own_key()
        self._saved, self._since, self._stale = state.size, None, False
        if not self._stopping.is_set():
            self._phase = Phase.FOLLOWING
            log.info("the notary follows the log", signed=ledger.signed, taken=state.size)

    def _compare(self, state: NotaryState) -> None:
        """Read again what the tree holds: what was taken must still be what is there."""
        self._phase = Phase.COMPARING
        state.tree.rebuild()
        done = 0
        while done < state.size and not self._stopping.is_set():
            leaves = state.tree.leaves(done, min(done + COMPARED, state.size))
            if flaw := differs(self._source.read_raw(done, len(leaves)), leaves, after=done):
                self._doubt(state, flaw)
            done += len(leaves)
            if done % SAVED == 0:
                log.info("the log is compared with what was taken", done=done, of=state.size)
        self._prove(state)

    def _doubt(self, state: NotaryState, flaw: Flaw) -> None:
        """Where a signed event is another than ours, the files may be damaged: make them again
        and let the heads tell. Raises ``FlawError`` where they could not."""
        if flaw.reason != CHANGED or flaw.sequence > self._ledger.signed:
            raise FlawError(flaw)
        log.warning("the log or what is kept of it has changed", **flaw._asdict())
        self._suspect = flaw
        state.forget()
        self._ledger = self._make_ledger()
        self._ledger.look()

    def _follow(self, state: NotaryState) -> bool:
        """Take what is new and sign when it is time; False when there was nothing new."""
        with self._turn:
            if self._stale:
                self._ledger.look()
                self._prove(state)
                self._stale = False
            records = self._source.read_raw(state.size, self._limit(state))
            flaw = state.take(records)
            failpoints.reach("notary.events.taken")
            self._prove(state)
            if flaw is not None:
                raise FlawError(flaw)
            if self._due_in(state) <= 0:
                self._sign(state)
            if state.size - self._saved >= SAVED:
                self._save(state)
        return bool(records)

    def _limit(self, state: NotaryState) -> int:
        """Up to the next head: the one that is still to be compared, or the one to sign."""
        if unproved := self._ledger.unproved:
            return min(self._pace.events, unproved[0].size - state.size)
        return max(1, self._pace.events - (state.size - self._ledger.signed))

    def _prove(self, state: NotaryState) -> None:
        """Compare heads of the stream with our trees, as far as these go."""
        unproved, before = self._ledger.unproved, 0
        while unproved and unproved[0].size <= state.size:
            head = unproved.popleft()
            same = state.tree.root(head.size) == head.root
            if same and head.size == state.size and not unproved:
                same = state.map.root() == head.map_root
            if not same:
                raise FlawError(Flaw(before + 1, f"up to {head.size} is not what was signed"))
            before = head.size
        if self._suspect is not None and not unproved:
            log.warning("what is kept of the log was damaged and is made again from it")
            self._suspect = None

    def _sign(self, state: NotaryState) -> bool:
        self._since = None
        self._stale = True
        root, map_root = state.tree.root(), state.map.root()
        self._stale = not self._ledger.sign(state.size, root=root, map_root=map_root)
        if self._stale:
            return False
        failpoints.reach("notary.head.signed")
        self._save(state)
        log.info("a head was signed", size=state.size)
        return True

    def _save(self, state: NotaryState) -> None:
        state.save(**self._ledger.words())
        self._saved = state.size

    def _due_in(self, state: NotaryState) -> float:
        """Seconds until the next head must be signed."""
        unsigned = state.size - self._ledger.signed
        if self._ledger.unproved or unsigned <= 0:
            return self._pace.seconds
        if self._since is None:
            self._since = time.monotonic()
        if unsigned >= self._pace.events:
            return 0.0
        return max(0.0, self._since + self._pace.seconds - time.monotonic())

    def _wait(self, state: NotaryState) -> None:
        if self._source.wait(min(LONGEST_WAIT_S, self._due_in(state))):
            self._stopping.wait(GATHER_S)
        else:
            self._reaches(state.size)

    def _reaches(self, size: int) -> None:
        end = self._source.last_position()
        if end < size:
            raise FlawError(Flaw(end + 1, f"missing: the log ends at {end}, {size} were taken"))

    @contextlib.contextmanager
    def _troubles(self) -> Iterator[None]:
        try:
            yield
        except FlawError as error:
            self._found(error.flaw)
        except UnavailableError as error:
            self._stale = True
            self._pause(error.message)
        except (ImeweError, OSError, sqlite3.Error) as error:
            self._close()
            self._pause(f"{error} (what lies in {self._home / FOLDER} can be made again)")
        else:
            self._trouble = ""

    def _found(self, flaw: Flaw) -> None:
        flaw = self._suspect or flaw
        self._flaw, self._phase = flaw, Phase.STOPPED_BY_FLAW
        log.error("THE LOG IS NOT WHAT IT WAS: nothing is signed any more", **flaw._asdict())
        self._on_flaw(flaw)

    def _pause(self, reason: str) -> None:
        if reason != self._trouble:
            log.warning("the notary waits", reason=reason)
        self._trouble = reason
        self._stopping.wait(AGAIN_S)

    def _close(self) -> None:
        with self._turn:
            state, self._state = self._state, None
            if state is not None:
                state.close()
