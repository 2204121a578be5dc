"""What an aggregate was, folded from its events alone, and what changed it between two positions.

No read model has a say in it: the rows of the history hold the events' own bodies. Personal fields
stay sealed. A state is plain JSON; the memory of obeyed commands is not part of it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from domain.part.aggregate import Part
from domain.shared.aggregate import Fact, ImeweAggregate
from domain.shared.errors import ImeweError
from projections.history.differences import Change, changes
from projections.history.rows import EventRow

Decode = Callable[[EventRow], Fact]
"""The event that a row tells. Raises ``UnreadableEventError``."""
Attributes = dict[str, bytes]
"""An aggregate's attributes, each as canonical JSON: cheap to compare."""

_HIDDEN: Final = "commands"
_OPTIONS: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z


class UnreadableEventError(ImeweError):
    """An event of this object cannot be read by this version of Imewe."""

    code = "UNREADABLE_EVENT"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """An aggregate after ``last``, its newest event then."""

    last: EventRow
    values: dict[str, Any]


@dataclass(slots=True)
class Folding:
    """Takes one aggregate's events in order. ``last`` is the newest one taken."""

    decode: Decode
    aggregate: ImeweAggregate | None = None
    last: EventRow | None = None

    def take(self, rows: Iterable[EventRow]) -> None:
        """Fold some more. Raises ``UnreadableEventError``."""
        for row in rows:
            self.aggregate = self.decode(row).mutate(self.aggregate)
            self.last = row

    @property
    def state(self) -> State | None:
        """``None`` before the first event."""
        if self.last is None:
            return None
        return State(last=self.last, values=plain(self.aggregate))


@dataclass(slots=True)
class Trace:
    """How often something changed in an interval, and the event that changed it last."""

    event: EventRow
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """One difference between two states with its explanation."""

    change: Change
    event: EventRow
    count: int


class Ends:
    """Takes one aggregate's events in order: its state at the position ``after`` and at the end."""

    def __init__(self, decode: Decode, *, after: int) -> None:
        self._after = after
        self._folding = Folding(decode)
        self._passed = False
        self._before: State | None = None

    def take(self, rows: Iterable[EventRow]) -> None:
        """Fold some more. Raises ``UnreadableEventError``."""
        for row in rows:
            if row.position > self._after and not self._passed:
                self._passed = True
                self._before = self._folding.state
                self._pass(self._folding.aggregate)
            self._folding.take((row,))
            if self._passed:
                self._behind(row, self._folding.aggregate)

    @property
    def before(self) -> State | None:
        """What it was at the first position; ``None`` when it was not there yet."""
        return self._before if self._passed else self._folding.state

    @property
    def end(self) -> State | None:
        """What it is after the last event taken."""
        return self._folding.state

    def _pass(self, aggregate: ImeweAggregate | None) -> None:
        """The first event behind the position comes next."""

    def _behind(self, row: EventRow, aggregate: ImeweAggregate | None) -> None:
        """An event behind the position was folded."""


class Comparing(Ends):
    """Also remembers which event behind ``after`` touched what."""

    def __init__(self, decode: Decode, *, after: int) -> None:
        super().__init__(decode, after=after)
        self._shown: Attributes = {}
        self._at: dict[str, Trace] = {}
        self._under: dict[str, Trace] = {}

    def differences(self) -> list[Traced]:
        """What is different at the end, by path."""
        before = self.before.values if self.before else {}
        end = self.end.values if self.end else {}
        return [self._traced(change) for change in changes(before, end)]

    def _pass(self, aggregate: ImeweAggregate | None) -> None:
        self._shown = attributes(aggregate)

    def _behind(self, row: EventRow, aggregate: ImeweAggregate | None) -> None:
        shown = attributes(aggregate)
        under: set[str] = set()
        for name, value in shown.items():
            earlier = self._shown.get(name)
            if earlier == value:
                continue
            before = {} if earlier is None else {name: orjson.loads(earlier)}
            for change in changes(before, {name: orjson.loads(value)}):
                _touch(self._at, change.path, row)
                under.update(_with_ancestors(change.path))
        for path in under:
            _touch(self._under, path, row)
        self._shown = shown

    def _traced(self, change: Change) -> Traced:
        """A change at a path is one at, under or, when the whole was replaced, above it."""
        above = [self._at.get(path) for path in _with_ancestors(change.path)[1:]]
        found = [trace for trace in (self._under.get(change.path), *above) if trace]
        last = max(found, key=lambda trace: trace.event.position)
        return Traced(change=change, event=last.event, count=sum(t.count for t in found))


def attributes(aggregate: ImeweAggregate | None) -> Attributes:
    """Every attribute that the aggregate's own events have set."""
    if aggregate is None:
        return {}
    found = {
        name: _json(value)
        for name, value in vars(aggregate).items()
        if name != _HIDDEN and not name.startswith("_")
    }
    if isinstance(aggregate, Part):
        found["status"] = _json(aggregate.status)  # derived, and what everybody asks for
    return found


def plain(aggregate: ImeweAggregate | None) -> dict[str, Any]:
    """The aggregate's state as JSON values, by name."""
    return {name: orjson.loads(value) for name, value in sorted(attributes(aggregate).items())}


def _json(value: Any) -> bytes:
    return orjson.dumps(value, default=_as_json, option=_OPTIONS)


def _as_json(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)


def _touch(traces: dict[str, Trace], path: str, row: EventRow) -> None:
    trace = traces.setdefault(path, Trace(row))
    trace.event = row
    trace.count += 1


def _with_ancestors(path: str) -> list[str]:
    """The path and everything that holds it, the nearest first."""
    found = [path]
    while path:
        path = path.rpartition("/")[0]
        found.append(path)
    return found
