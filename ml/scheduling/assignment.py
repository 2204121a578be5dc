"""Which node takes a piece of work: hard filters first, then the weighted score.

Arrays of one length, one entry a node, in the order of ``ids``. A node that cannot do the work is
never scored. The score is ``0.3 capability + 0.2 (1 - load) + 0.2 energy efficiency + 0.15 material
availability + 0.15 nearness``, every term from 0 to 1; of equal scores the smaller id wins, so the
same arrays always give the same node.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]

POLICY: Final = "weighted-score"
POLICY_VERSION: Final = 1
WEIGHTS: Final = {
    "capability": 0.3,
    "idleness": 0.2,
    "efficiency": 0.2,
    "material": 0.15,
    "nearness": 0.15,
}
HALF_DISTANCE_KM: Final = 100.0
"""At this distance nearness is one half."""
EARTH_RADIUS_KM: Final = 6371.0088
TOLERANCE_MM: Final = 0.01
"""A part may be larger than a bed by this much: what rounding does to a file's coordinates."""
EXPLAINED: Final = 20
"""Candidates and rejections that a decision names; the rest is counted."""
PLACES: Final = 6
"""Decimal places kept of a term."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What is known of the nodes that may be asked. Lengths in mm, temperatures in °C, mg.

    ``does_process`` and ``has_material`` are about this work's process and material, ``free_mg`` is
    the free amount of it in the node's fullest lot. ``lat`` and ``lon`` are degrees, NaN when not
    said. ``load`` is the share of the last day that the node worked. ``states`` holds, by its
    name, what keeps a node from taking work now.
    """

    ids: Sequence[str]
    does_process: Flags
    has_material: Flags
    free_mg: Integers
    size_mm: Floats
    precision_mm: Floats
    max_nozzle_c: Floats
    max_bed_c: Floats
    efficiency: Floats
    load: Floats
    lat: Floats
    lon: Floats
    states: dict[str, Flags]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the work asks for. ``precision_mm`` 0: any; ``location`` (lat, lon) or ``None``."""

    material_mg: int
    size_mm: tuple[float, float, float]
    nozzle_c: float = 0.0
    bed_c: float = 0.0
    precision_mm: float = 0.0
    location: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The node chosen (empty: none) and what explains it.

    ``candidates`` are the best by falling score with their terms; ``rejections`` name the first
    reason of each node that could not take the work, ``rejected`` counts them by reason.
    """

    node_id: str
    runner_up: str
    candidates: list[dict[str, Any]]
    rejections: dict[str, str]
    rejected: dict[str, int]
    policy: str = POLICY
    policy_version: int = POLICY_VERSION
    weights: dict[str, float] = field(default_factory=lambda: dict(WEIGHTS))

    def explained(self) -> dict[str, Any]:
        """As the event keeps it: JSON values only."""
        return {
            "policy": self.policy,
            "policy_version": self.policy_version,
            "weights": self.weights,
            "runner_up": self.runner_up,
            "candidates": self.candidates,
            "rejections": self.rejections,
            "rejected": self.rejected,
        }


def choose(candidates: Candidates, wanted: Wanted) -> Decision:
    """Choose the node with the best score among those that can do the work now."""
    reasons = _reasons(candidates, wanted)
    fit = np.flatnonzero(reasons < 0)
    scores, terms = _scores(candidates, wanted, fit)
    order = sorted(range(len(fit)), key=lambda at: (-scores[at], candidates.ids[int(fit[at])]))
    best: list[dict[str, Any]] = [
        {
            "node_id": candidates.ids[int(fit[at])],
            "score": round(float(scores[at]), PLACES),
            **{name: round(float(term[at]), PLACES) for name, term in terms.items()},
        }
        for at in order[:EXPLAINED]
    ]
    names = _reason_names(candidates)
    out = np.flatnonzero(reasons >= 0)
    counts = np.bincount(reasons[out], minlength=len(names))
    return Decision(
        node_id=best[0]["node_id"] if best else "",
        runner_up=best[1]["node_id"] if len(best) > 1 else "",
        candidates=best,
        rejections={candidates.ids[int(at)]: names[reasons[at]] for at in out[:EXPLAINED]},
        rejected={name: int(n) for name, n in zip(names, counts, strict=True) if n},
    )


def capable(candidates: Candidates, wanted: Wanted) -> Flags:
    """Which nodes could do the work if they were free and held the material."""
    ok = np.ones(len(candidates.ids), dtype=np.bool_)
    for refused in _incapable(candidates, wanted).values():
        ok &= ~refused
    return ok


def _incapable(candidates: Candidates, wanted: Wanted) -> dict[str, Flags]:
    size = np.asarray(wanted.size_mm)
    fine = wanted.precision_mm > 0
    return {
        "process": ~candidates.does_process,
        "material": ~candidates.has_material,
        "size": np.any(candidates.size_mm + TOLERANCE_MM < size, axis=1),
        "precision": (candidates.precision_mm > wanted.precision_mm) & fine,
        "nozzle temperature": candidates.max_nozzle_c < wanted.nozzle_c,
        "bed temperature": candidates.max_bed_c < wanted.bed_c,
    }


def _reason_names(candidates: Candidates) -> list[str]:
    fixed = ["process", "material", "size", "precision", "nozzle temperature", "bed temperature"]
    return [*fixed, *candidates.states, "material in stock"]


def _reasons(candidates: Candidates, wanted: Wanted) -> Integers:
    """The number of each node's first reason in ``_reason_names``, -1 when it can take the work."""
    refusals = [
        *_incapable(candidates, wanted).values(),
        *candidates.states.values(),
        candidates.free_mg < wanted.material_mg,
    ]
    first = np.full(len(candidates.ids), -1, dtype=np.int64)
    for number in range(len(refusals) - 1, -1, -1):
        first[refusals[number]] = number
    return first


def _scores(
    candidates: Candidates, wanted: Wanted, fit: NDArray[np.int64]
) -> tuple[Floats, dict[str, Floats]]:
    free = candidates.free_mg[fit].astype(np.float64)
    terms = {
        "capability": _snugness(candidates.size_mm[fit], wanted.size_mm),
        "idleness": 1.0 - np.clip(candidates.load[fit], 0.0, 1.0),
        "efficiency": np.clip(candidates.efficiency[fit], 0.0, 1.0),
        "material": (free - wanted.material_mg) / np.maximum(free, 1.0),
        "nearness": _nearness(candidates.lat[fit], candidates.lon[fit], wanted.location),
    }
    scores = np.zeros(len(fit))
    for name, weight in WEIGHTS.items():
        scores += weight * terms[name]
    return np.round(scores, PLACES), terms


def _snugness(size_mm: Floats, wanted: tuple[float, float, float]) -> Floats:
    """How much of the machine's reach the work uses: large machines are kept for large work."""
    ratio = np.clip(np.asarray(wanted) / np.maximum(size_mm, TOLERANCE_MM), 0.0, 1.0)
    mean: Floats = ratio.mean(axis=1)
    return mean


def _nearness(lat: Floats, lon: Floats, location: tuple[float, float] | None) -> Floats:
    """``1 / (1 + d / 100 km)`` along the great circle; 1 where either place is not known."""
    if location is None:
        return np.ones(len(lat))
    there_lat, there_lon = np.radians(location)
    here_lat, here_lon = np.radians(lat), np.radians(lon)
    half_chord = (
        np.sin((here_lat - there_lat) / 2) ** 2
        + np.cos(here_lat) * np.cos(there_lat) * np.sin((here_lon - there_lon) / 2) ** 2
    )
    distance = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(half_chord, 0.0, 1.0)))
    return np.where(np.isnan(distance), 1.0, 1.0 / (1.0 + distance / HALF_DISTANCE_KM))
