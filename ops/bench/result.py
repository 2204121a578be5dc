"""What a bench found, in one shape for the table and for programs."""

import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured quantity: its runs, and the unit they are in."""

    label: str
    unit: str
    runs: Sequence[float]

    @property
    def median(self) -> float:
        """The figure to quote."""
        return statistics.median(self.runs)

    @property
    def spread(self) -> str:
        """Lowest to highest run."""
        return f"{legible(min(self.runs))} to {legible(max(self.runs))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    """A bench's figures. ``ratio`` compares the first figure with the second."""

    name: str
    what: str
    figures: Sequence[Figure]
    goal: str
    met: bool
    ratio: float | None = None
    notes: Sequence[str] = field(default_factory=tuple)

    def as_json(self) -> dict[str, Any]:
        """Plain values, medians included."""
        plain = asdict(self)
        for shown, figure in zip(plain["figures"], self.figures, strict=True):
            shown["median"] = figure.median
        return plain

    def as_markdown(self) -> str:
        """One section of the committed table."""
        rows = [
            f"| {figure.label} | {legible(figure.median)} | {figure.unit} | {figure.spread} |"
            for figure in self.figures
        ]
        ratio = f" Ratio {self.ratio:.2f}." if self.ratio is not None else ""
        return "\n".join(
            [
                f"## {self.name}",
                "",
                f"{self.what} Goal: {self.goal}: **{'met' if self.met else 'not met'}**.{ratio}",
                "",
                "| figure | median | unit | lowest to highest |",
                "|---|---:|---|---|",
                *rows,
                *(["", *(f"- {note}" for note in self.notes)] if self.notes else []),
                "",
            ]
        )


def legible(value: float) -> str:
    """Three digits or more, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` (0 to 1) of the values do not exceed, by nearest rank."""
    return float(np.percentile(values, share * 100, method="inverted_cdf"))


def machine() -> str:
    """What the figures were measured on."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{psutil.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB,"
        f" {platform.system()} {platform.release().split('-')[0]},"
        f" Python {platform.python_version()}"
    )
