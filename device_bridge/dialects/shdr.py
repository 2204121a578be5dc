"""What an MTConnect adapter says before any agent: SHDR lines, ``TIME|KEY|VALUE|KEY|VALUE``. Pure.

A condition stands alone on its line: ``TIME|KEY|LEVEL|NATIVE CODE|SEVERITY|QUALIFIER|TEXT``. Lines
that begin with ``*`` are the adapter's own; ``* PONG 10000`` answers ``* PING`` and says how many
milliseconds may pass until the next one.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from device_bridge.dialects.named_values import Named, NamedValues, Value
from device_bridge.protocols import Condition, DeviceStatus
from domain.node.states import ConditionLevel, Execution

PING = b"* PING\n"
LONGEST_LINE = 65536
LONGEST_TEXT = 200
UNAVAILABLE = "UNAVAILABLE"
RAISED = frozenset({"WARNING", "FAULT"})
ENDED = frozenset({"NORMAL", UNAVAILABLE})
_PONG = re.compile(r"\* PONG (\d{1,9})")
_BAR = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One key's value; ``rest`` is what else stands on a condition's line."""

    key: str
    value: str
    rest: tuple[str, ...] = ()


def heartbeat_s(line: str) -> float | None:
    """The seconds that an adapter grants, if this is its answer to a ping."""
    found = _PONG.match(line)
    return int(found[1]) / 1000 if found else None


def said(line: str, conditions: frozenset[str]) -> list[Said]:
    """What a line tells; nothing for the adapter's own lines, for assets and for nonsense."""
    if line.startswith("*"):
        return []
    _, *fields = (field.replace("\\|", "|").strip() for field in _BAR.split(line))
    if len(fields) < 2 or fields[0].startswith("@"):
        return []
    if _key(fields[0]) in conditions:
        return [Said(key=_key(fields[0]), value=fields[1], rest=tuple(fields[2:6]))]
    pairs = zip(fields[::2], fields[1::2], strict=False)
    return [Said(key=_key(key), value=value) for key, value in pairs]


class ShdrView:
    """An adapter's machine as last told."""

    def __init__(
        self, map: Iterable[Named], *, conditions: frozenset[str], states: Mapping[str, Execution]
    ) -> None:
        map = tuple(map)
        self._entries: dict[str, list[Named]] = {}
        for entry in map:
            self._entries.setdefault(entry.place, []).append(entry)
        self._values = NamedValues(map, states=states)
        self._conditions = conditions
        self._active: dict[tuple[str, str], Condition] = {}

    def fold(self, line: str) -> tuple[dict[str, float], set[str]]:
        """New readings by channel, and the channels that have none any more."""
        found: list[tuple[Named, Value]] = []
        for one in said(line, self._conditions):
            if one.key in self._conditions:
                self._condition(one)
            value = None if one.value == UNAVAILABLE else one.value
            found += [(entry, value) for entry in self._entries.get(one.key, [])]
        return self._values.fold(found)

    def status(self) -> DeviceStatus:
        """The four items, of a machine whose adapter is there."""
        status = self._values.status()
        return status.but(conditions=(*status.conditions, *self._active.values()))

    def _condition(self, one: Said) -> None:
        """NORMAL without a code ends all of a key's conditions, with a code that one."""
        code, _, qualifier, text = (*one.rest, "", "", "", "")[:4]
        level = one.value.upper()
        if level in ENDED:
            for key in [k for k in self._active if k[0] == one.key and code in ("", k[1])]:
                del self._active[key]
        elif level in RAISED:
            self._active[one.key, code] = Condition(
                level=ConditionLevel(level),
                type=one.key.upper(),
                code=code or one.key,
                text=" ".join(word for word in (qualifier, text) if word)[:LONGEST_TEXT],
            )


def _key(text: str) -> str:
    """Without the device that several machines behind one adapter put before it."""
    return text.rpartition(":")[2]
