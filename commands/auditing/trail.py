"""What is written into the audit trail at once, and what only counts.

The first of its kind in a minute is written before the answer leaves; those that follow in the
same minute are counted and written as one line when the minute is over. Every actor has a purse
of lines: some at once, then one every few minutes. All who prove nothing share one purse. What
the purse does not pay for is counted in a single line of that actor, so that nobody, and nobody
outside least of all, can fill the trail or push out what it holds: with 288 lines a day strangers
need years for a quarter of a gigabyte.

What a service does for an admin is a step. Steps are never counted together: each has a line of
its own, and a step without its line is refused. A service's purse for them is large.
"""

from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from secrets import token_hex
from threading import Lock
from typing import Final, NamedTuple, Protocol

import structlog

from commands.auditing.entry import NOBODY, Entry, Sameness, minute_of
from domain.ports import Clock
from domain.shared.errors import ImeweError, UnavailableError

BURST: Final = 60
REFILL_S: Final = 300.0
STEPS_BURST: Final = 1000
STEPS_REFILL_S: Final = 10.0
STRANGERS: Final = ""
VARIOUS: Final = "various"
FOLDED: Final = "more than is written one by one"

log = structlog.get_logger()


class Written(NamedTuple):
    """An entry with its place in the trail."""

    sequence: int
    entry: Entry
    hash: str


class AuditLog(Protocol):
    """The stream behind the trail; safe to call from many threads."""

    def append(self, entry: Entry, *, name: str) -> bool:
        """Record durably; False when one of that name was recorded in the last two minutes.

        Raises ``UnavailableError``.
        """

    def newest(self, *, before: int | None, limit: int) -> list[Written]:
        """Up to ``limit`` entries with sequences below ``before``, the newest first."""


class Trail:
    """Takes entries from all threads. Never raises: a trail that cannot be written is said in the
    log of the service, counted and written later; it neither allows nor holds up anything.

    A process that is killed loses the counts of a minute, and no first line whose answer left.
    """

    def __init__(self, audit_log: AuditLog, *, clock: Clock) -> None:
        self._log = audit_log
        self._clock = clock
        self._lock = Lock()
        self._books: dict[str, _Book] = {}
        self._steps: dict[str, _Purse] = {}

    def record(self, entry: Entry, *, proved: bool) -> None:
        """One more entry. ``proved``: a token or the connection shows that the actor is the one."""
        owner = entry.actor if proved else STRANGERS
        with self._lock:
            book = self._books.setdefault(owner, _Book(self._clock.now(), stranger=not proved))
            begins = book.begins(entry, self._clock.now())
        if begins and not self._wrote(entry, name=_name(entry)):
            self._give_back(owner, entry)

    def step(self, entry: Entry, *, service: str) -> None:
        """Write a step that ``service`` tells of, whoever asked for it.

        Raises ``UnavailableError`` when it is not written, or when there were too many.
        """
        now = self._clock.now()
        with self._lock:
            purse = self._steps.setdefault(service, _Purse(STEPS_BURST, STEPS_REFILL_S, now))
            paid = purse.pays(now)
        if not paid:
            raise UnavailableError(
                f"{service} told of too many steps", remedy=f"one every {STEPS_REFILL_S:g} s"
            )
        self._log.append(entry, name=token_hex(16))

    def flush(self, *, everything: bool = False) -> None:
        """Write the counts of minutes that are over, or all of them at the end."""
        now = self._clock.now()
        with self._lock:
            due = [
                (owner, entry)
                for owner, book in self._books.items()
                for entry in book.due(now, everything=everything)
            ]
            self._books = {o: book for o, book in self._books.items() if not book.is_idle(now)}
        well = True
        for owner, entry in due:
            well = well and self._wrote(entry, name=token_hex(16))
            if not well:
                self._give_back(owner, entry)

    def _wrote(self, entry: Entry, *, name: str) -> bool:
        """False too when another copy of the service wrote the first line of this minute."""
        try:
            return self._log.append(entry, name=name)
        except ImeweError as error:
            log.error("audit trail not written", problem=str(error), action=entry.action)
            return False

    def _give_back(self, owner: str, entry: Entry) -> None:
        with self._lock:
            book = self._books.setdefault(
                owner, _Book(self._clock.now(), stranger=owner == STRANGERS)
            )
            book.give_back(entry)


class _Purse:
    """Holds ``burst`` lines when full and gains one every ``refill_s`` seconds."""

    def __init__(self, burst: int, refill_s: float, now: datetime) -> None:
        self._burst = float(burst)
        self._refill_s = refill_s
        self._left = float(burst)
        self._looked = now

    def pays(self, now: datetime) -> bool:
        """Take a line out, if there is one."""
        self._refill(now)
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        """What was paid for was not written."""
        self._left = min(self._burst, self._left + 1)

    def is_full(self, now: datetime) -> bool:
        """Whether nothing was taken out for long."""
        self._refill(now)
        return self._left >= self._burst

    def _refill(self, now: datetime) -> None:
        passed = max(0.0, (now - self._looked).total_seconds())
        self._left = min(self._burst, self._left + passed / self._refill_s)
        self._looked = now


class _Book:
    """One actor's purse, what began in this minute, and what waits to be written."""

    def __init__(self, now: datetime, *, stranger: bool) -> None:
        self._stranger = stranger
        self._purse = _Purse(BURST, REFILL_S, now)
        self._begun: dict[Sameness, datetime] = {}
        self._waiting: dict[tuple[Sameness, datetime], Entry] = {}
        self._folded: Entry | None = None

    def begins(self, entry: Entry, now: datetime) -> bool:
        """Whether it is the first of its kind in its minute and paid for; else it is counted."""
        if self._begun.get(entry.sameness) == entry.minute:
            self._wait(entry)
            return False
        if not self._purse.pays(now):
            self._fold(entry)
            return False
        self._begun[entry.sameness] = entry.minute
        return True

    def give_back(self, entry: Entry) -> None:
        """It was paid for and not written: it waits with the others."""
        self._purse.give_back()
        self._wait(entry)

    def due(self, now: datetime, *, everything: bool) -> list[Entry]:
        """What is to be written now."""
        this = minute_of(now)
        self._begun = {each: at for each, at in self._begun.items() if at >= this}
        over = [place for place in self._waiting if everything or place[1] < this]
        due = []
        for entry in [self._waiting.pop(place) for place in over]:
            if everything or self._purse.pays(now):
                due.append(entry)
            else:
                self._fold(entry)
        if self._folded and (everything or self._purse.pays(now)):
            due.append(self._folded)
            self._folded = None
        return due

    def is_idle(self, now: datetime) -> bool:
        """Whether nothing is lost when the book is thrown away."""
        return not (self._begun or self._waiting or self._folded) and self._purse.is_full(now)

    def _wait(self, entry: Entry) -> None:
        if entry.action == VARIOUS:
            self._fold(entry)
            return
        place = (entry.sameness, entry.minute)
        before = self._waiting.get(place)
        self._waiting[place] = _more(before, entry)

    def _fold(self, entry: Entry) -> None:
        one = Entry(
            at=entry.at,
            actor=NOBODY if self._stranger else entry.actor,
            action=VARIOUS,
            outcome=VARIOUS,
            reason=FOLDED,
            organisation_id="" if self._stranger else entry.organisation_id,
            count=entry.count,
        )
        self._folded = _more(self._folded, one)


def _name(entry: Entry) -> str:
    """The same for every copy of the service that sees the first of its kind in a minute."""
    said = "\n".join((*entry.sameness, entry.minute.isoformat()))
    return blake2b(said.encode(), digest_size=16).hexdigest()


def _more(before: Entry | None, entry: Entry) -> Entry:
    return replace(entry, count=entry.count + before.count) if before else entry
