"""Writes a proof file, and tells what is in it while it passes by."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from gzip import open as open_packed
from pathlib import Path
from typing import Any

import typer

TELL_EVERY_S = 2.0


class Passing:
    """The first and the last line of the parts that pass, and their size in bytes."""

    def __init__(self, parts: Iterable[bytes], begun: Callable[[dict[str, Any]], None]) -> None:
        self._parts = parts
        self._begun = begun
        self._told: dict[str, Any] = {}
        self._last = self._open = b""
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            self.size += len(part)
            self._look(part)
            yield part

    def summary(self) -> dict[str, Any]:
        """``kind``, ``from``, ``to``, ``job_id``, and of a whole one ``events`` and
        ``unsigned_tail``."""
        end = _object(self._last).get("end", {})
        counts = {name: end[name] for name in ("events", "unsigned_tail") if name in end}
        return {**self._told, **counts}

    def _look(self, part: bytes) -> None:
        *whole, self._open = (self._open + part).split(b"\n")
        if whole and not self._told:
            first = _object(whole[0])
            wanted = ("kind", "from", "to", "job_id")
            self._told = {name: first[name] for name in wanted if first.get(name)}
            self._begun(self._told)
        self._last = whole[-1] if whole else self._last


def write_proof(output: Path, parts: Iterable[bytes]) -> dict[str, Any]:
    """Write it whole or not at all; what is in it, and ``bytes``, the size before packing.

    Says on standard error what is exported, and every two seconds how far it is.
    """
    fresh = output.with_name(f".{output.name}.part")
    passing, tick = Passing(parts, _say_begun), ticking()
    try:
        with open_packed(fresh, "wb") if output.suffix == ".gz" else fresh.open("wb") as file:
            for part in passing:
                file.write(part)
                tick(lambda: f"{passing.size:,} bytes")
        fresh.replace(output)
    finally:
        fresh.unlink(missing_ok=True)
    return {"file": str(output), "bytes": passing.size, **passing.summary()}


def ticking() -> Callable[[Callable[[], str]], None]:
    """Says its words on standard error, at most every two seconds."""
    told = time.monotonic()

    def tick(words: Callable[[], str]) -> None:
        nonlocal told
        if time.monotonic() - told >= TELL_EVERY_S:
            told = time.monotonic()
            typer.echo(words(), err=True)

    return tick


def _say_begun(told: dict[str, Any]) -> None:
    if "job_id" in told:
        typer.echo(f"exporting job {told['job_id']}", err=True)
    elif "from" in told and "to" in told:
        count = told["to"] - told["from"] + 1
        typer.echo(f"exporting {count:,} events: {told['from']:,} to {told['to']:,}", err=True)


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
