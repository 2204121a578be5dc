"""The words of a command, a letter and a number each, as firmware reads them: blanks or none,
either case. The check of an order, the bridge and the virtual machines share this reading."""

import re
from collections.abc import Sequence
from typing import Final

INCH_MM: Final = 25.4
MOTIONS: Final = frozenset({"G0", "G1", "G2", "G3"})

_NUMBER: Final = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)"
_WORD: Final = re.compile(rf"([A-Za-z])\s*({_NUMBER})")
_WHOLE: Final = re.compile(rf"(?:\s*[A-Za-z]\s*{_NUMBER})*\s*")


def words(command: str) -> dict[str, float]:
    """Letters and numbers: ``G1 X2 F600`` is ``{"G": 1, "X": 2, "F": 600}``; the last one holds."""
    return {letter.upper(): float(number) for letter, number in _WORD.findall(command)}


def split(command: str) -> tuple[list[str], list[tuple[str, float]]]:
    """The codes (``G1``, ``M104``) and the words that go with them, both in order."""
    codes: list[str] = []
    others: list[tuple[str, float]] = []
    for letter, number in _WORD.findall(command):
        name = letter.upper()
        if name in "GM":
            codes.append(f"{name}{float(number):g}")
        else:
            others.append((name, float(number)))
    return codes, others


def broken(command: str, others: Sequence[tuple[str, float]]) -> str:
    """Why nobody can tell where a motion command goes (``X nan``, two ``X``); empty for a sound
    one. ``others`` are its words as ``split`` gave them."""
    if (sound := _WHOLE.match(command)) and sound.end() < len(command):
        return f"{command[sound.end() :].strip()[:20]!r} is no letter with a number"
    letters = [letter for letter, _ in others]
    twice = next((letter for letter in letters if letters.count(letter) > 1), "")
    return f"{twice} stands twice in it" if twice else ""
