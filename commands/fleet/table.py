"""The nodes as arrays, kept up to date one row at a time, for choices over the whole fleet."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from domain.node.aggregate import Node
from domain.node.profile import PROCESSES
from domain.node.states import Availability, ConditionLevel, Execution, NodeStatus
from ml.scheduling.assignment import Candidates, Wanted

DAY_S: Final = 86_400.0
STATES: Final = (
    "another organisation",
    "decommissioned",
    "not configured",
    "maintenance",
    "not connected",
    "emergency stop",
    "held",
    "fault",
    "not ready",
    "busy",
    "bed not clear",
)
"""What may keep a node from taking work now, the most lasting first. Each is a column."""
OUT_OF_SERVICE: Final = STATES[:9]
"""A node in one of these is not worth waiting for."""
NOT_READY: Final = frozenset({Execution.INTERRUPTED, Execution.STOPPED, Execution.FEED_HOLD})
"""In these a machine waits for a person at it, whether or not it reports a fault too. While a build
holds the node they belong to the build."""
_FIRST_ROWS: Final = 64


class NodeTable:
    """One row a node. ``load`` is the share of the last day it worked, exponentially weighted."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._row: dict[str, int] = {}
        self._organisations: dict[str, int] = {}
        self._codes: NDArray[np.int64] = np.full((_FIRST_ROWS, 2), -1, dtype=np.int64)
        self._figures: NDArray[np.float64] = np.full((_FIRST_ROWS, 9), np.nan)
        self._busy: NDArray[np.float64] = np.zeros((_FIRST_ROWS, 2))
        self._states: NDArray[np.bool_] = np.zeros((_FIRST_ROWS, len(STATES)), dtype=np.bool_)
        self._makes: dict[str, NDArray[np.bool_]] = {}
        self._free: dict[str, NDArray[np.int64]] = {}

    def put(self, node: Node, *, claimed: bool) -> None:
        """Take over a node's row. ``claimed``: a build is about to reserve it."""
        row = self._row_of(str(node.id))
        profile = node.profile
        organisation = self._organisations.setdefault(
            node.organisation_id, len(self._organisations)
        )
        process = PROCESSES.index(profile["process"]) if profile else -1
        self._codes[row] = (organisation, process)
        self._figures[row] = _figures(profile) if profile else np.nan
        self._states[row] = _states(node, claimed=claimed)
        made = set(profile.get("materials", ()))
        for material in made - set(self._makes):
            self._makes[material] = np.zeros(len(self._codes), dtype=np.bool_)
        for material, makes in self._makes.items():
            makes[row] = material in made

    def put_stock(self, node_id: str, material: str, free_mg: int) -> None:
        """Take over what the fullest lot of a material at a node has free."""
        row = self._row_of(node_id)
        if material not in self._free:
            self._free[material] = np.zeros(len(self._codes), dtype=np.int64)
        self._free[material][row] = free_mg

    def worked(self, node_id: str, *, seconds: float, until: datetime) -> None:
        """Count a run towards the load."""
        row = self._row_of(node_id)
        at = until.timestamp()
        kept = self._busy[row, 0] * np.exp(-max(0.0, at - self._busy[row, 1]) / DAY_S)
        self._busy[row] = (kept + seconds, max(at, self._busy[row, 1]))

    def available(self, node_id: str) -> bool:
        """Whether the node could take work now."""
        row = self._row.get(node_id)
        return row is not None and not self._states[row].any()

    def out_of_service(self, node_id: str) -> bool:
        """Whether waiting for the node is of no use."""
        return bool(self._states[self._row[node_id], : len(OUT_OF_SERVICE)].any())

    def any_available(self) -> bool:
        """Whether any node could."""
        return not self._states[: len(self.ids)].any(axis=1).all()

    def candidates(
        self,
        *,
        process: str,
        material: str,
        organisation_id: str,
        now: datetime,
        only: Sequence[str] | None = None,
    ) -> Candidates:
        """The arrays that a choice needs, of all nodes or of some."""
        ids = self.ids if only is None else [node for node in only if node in self._row]
        rows = np.array([self._row[node] for node in ids], dtype=np.int64)
        figures, codes = self._figures[rows], self._codes[rows]
        nothing, never = np.zeros(len(self._codes), np.int64), np.zeros(len(self._codes), np.bool_)
        states = self._states[rows]
        states[:, 0] = codes[:, 0] != self._organisations.get(organisation_id, -1)
        age = np.maximum(0.0, now.timestamp() - self._busy[rows, 1])
        return Candidates(
            ids=ids,
            does_process=codes[:, 1] == (PROCESSES.index(process) if process in PROCESSES else -2),
            has_material=self._makes.get(material, never)[rows],
            free_mg=self._free.get(material, nothing)[rows],
            size_mm=figures[:, 0:3],
            precision_mm=figures[:, 3],
            max_nozzle_c=figures[:, 4],
            max_bed_c=figures[:, 5],
            efficiency=figures[:, 6],
            lat=figures[:, 7],
            lon=figures[:, 8],
            load=self._busy[rows, 0] * np.exp(-age / DAY_S) / DAY_S,
            states={name: states[:, at] for at, name in enumerate(STATES)},
        )

    def _row_of(self, node_id: str) -> int:
        row = self._row.get(node_id)
        if row is None:
            row = self._row[node_id] = len(self.ids)
            self.ids.append(node_id)
            if row == len(self._codes):
                self._grow()
            self._states[row, STATES.index("not configured")] = True
        return row

    def _grow(self) -> None:
        self._codes = _doubled(self._codes)
        self._figures = _doubled(self._figures)
        self._busy = _doubled(self._busy)
        self._states = _doubled(self._states)
        self._makes = {material: _doubled(column) for material, column in self._makes.items()}
        self._free = {material: _doubled(column) for material, column in self._free.items()}


def wanted(work: dict[str, Any]) -> Wanted:
    """What a dispatch's ``work`` asks of a node."""
    x, y, z = work["size_mm"]
    location = work.get("location")
    return Wanted(
        material_mg=work["material_mg"],
        size_mm=(x, y, z),
        nozzle_c=work.get("nozzle_c", 0),
        bed_c=work.get("bed_c", 0),
        precision_mm=work.get("precision_mm", 0.0),
        location=(location["lat"], location["lon"]) if location else None,
    )


def _figures(profile: dict[str, Any]) -> list[float]:
    size, place = profile["max_size"], profile.get("location") or {}
    return [
        size["x"],
        size["y"],
        size["z"],
        profile["precision_mm"],
        profile["max_nozzle_c"],
        profile["max_bed_c"],
        profile["energy_efficiency"],
        place.get("lat", np.nan),
        place.get("lon", np.nan),
    ]


def _states(node: Node, *, claimed: bool) -> list[bool]:
    faulty = any(condition["level"] == ConditionLevel.FAULT for condition in node.conditions)
    reachable = node.connected and node.availability == Availability.AVAILABLE
    return [
        False,
        node.status == NodeStatus.DECOMMISSIONED,
        not node.profile,
        node.status == NodeStatus.MAINTENANCE,
        not reachable,
        node.stopped,
        node.held,
        faulty,
        node.execution in NOT_READY and not node.build_id,
        bool(node.build_id) or claimed,
        not node.bed_clear,
    ]


def _doubled(column: NDArray[Any]) -> NDArray[Any]:
    larger = np.zeros((2 * len(column), *column.shape[1:]), dtype=column.dtype)
    larger[: len(column)] = column
    return larger
