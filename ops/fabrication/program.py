"""Reads G-code files, in the worker process."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from domain.part.gcode import LONGEST_LINE, read_program


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Read the program at ``path``; answers with the fields of a ``GcodeReport``."""
    return asdict(read_program(_lines(Path(request["path"]))))


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        while line := file.readline(LONGEST_LINE):
            yield line
