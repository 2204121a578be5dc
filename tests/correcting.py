"""Stories in which events know when they happened, and corrections come later."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from domain.build.aggregate import Build, RunFigures
from domain.inventory.aggregate import Inventory
from domain.inventory.correcting import reassign_consumption
from domain.node.aggregate import Node
from domain.period.aggregate import Period, period_id
from domain.shared.aggregate import PRESENT
from domain.shared.identifiers import derived
from projections.kpis.periods import Report
from projections.projection import Projection
from projections.rows import Rows
from tests.stories import ARTIFACT, Story

SEPTEMBER = datetime(2026, 9, 28, tzinfo=UTC)


@dataclass
class TimedStory(Story):
    """Aggregates act at the story's time, as on the write side."""

    def act(self, deed: Callable[[], Any], *aggregates: Any) -> Any:
        """Let something be decided now, and tell what came of it."""
        before = PRESENT.set(self.now)
        try:
            return deed()
        finally:
            PRESENT.reset(before)
            self.tell(*aggregates)

    def past(self, aggregate: Any) -> list[Any]:
        """All events of an aggregate."""
        return [each.event for each in self.events if each.aggregate_id == aggregate.id]

    def lot(self, name: str, *, material: str = "PLA", free_mg: int = 0) -> Inventory:
        """A lot opened now."""
        lot = self.act(
            lambda: Inventory.open(
                derived("lot", name),
                organisation_id=self.organisation_id,
                node_id="node",
                material=material,
                lot=name,
                density_ug_per_mm3=1240,
            )
        )
        if free_mg:
            self.act(lambda: lot.receive(free_mg))
        self.tell(lot)
        found: Inventory = lot
        return found

    def node(self, name: str = "Prusa") -> Node:
        """A machine registered now."""
        node: Node = self.act(
            lambda: Node.register(
                derived("node", name),
                organisation_id=self.organisation_id,
                owner_id="vera",
                name=name,
                bridge="local",
                virtual=True,
            )
        )
        self.tell(node)
        return node


def folded(projection: Projection, story: Story, *, upto: int | None = None) -> Rows:
    """What a projection makes of a story, in memory."""
    rows = Rows()
    for event in story.events[:upto]:
        if event.topic in projection.topics:
            projection.fold(rows, event)
            rows.keep(event.position)
    return rows


class Works(TimedStory):
    """A machine, two lots and as many builds as are wanted, from the end of September on."""

    def __init__(self, *, stock_mg: int = 1_000_000) -> None:
        super().__init__(now=SEPTEMBER)
        self.machine: Node = self.node()
        self.act(lambda: self.machine.connect({"f": 1}), self.machine)
        self.lots = [self.lot(name, free_mg=stock_mg) for name in ("A", "B")]
        self.builds: list[Build] = []

    def make(self, *, energy_j: int = 1000, material_mg: int = 50) -> Build:
        number = len(self.builds)
        lot = self.lots[0]
        build: Build = self.act(
            lambda: Build.plan(
                derived("build", number),
                organisation_id=self.organisation_id,
                job_id="j",
                dispatch_id="d",
                attempt=1,
                node_id=str(self.machine.id),
                pieces=[{"part_id": "p", "piece": 0}],
                program=ARTIFACT,
                material="PLA",
                duration_ms=1,
                material_mm3=1,
                material_mg=1,
            )
        )
        figures = RunFigures(
            duration_ms=1,
            energy_j=energy_j,
            energy_source="meter",
            material_mm3=1,
            material_mg=material_mg,
        )

        def run() -> None:
            lot.reserve(str(build.id), material_mg)
            build.fail("jam", native_text="", figures=figures)
            lot.waste(str(build.id), material_mg, reason="jam")

        self.act(run, build, lot)
        self.builds.append(build)
        return build

    def cut(self, month: str) -> Period:
        period: Period = self.act(
            lambda: Period.cut_off(
                period_id(self.organisation_id, month),
                organisation_id=self.organisation_id,
                month=month,
                now=self.now,
            )
        )
        self.tell(period)
        return period

    def cut_position(self, period: Period) -> int:
        return next(each.position for each in self.events if each.aggregate_id == period.id)

    def close(self, period: Period, report: Report) -> None:
        cut, figures = self.cut_position(period), report.figures
        self.act(lambda: period.close(position=cut, figures=figures, digest=report.digest), period)

    def correct_meter(self, build: Build, energy_j: int) -> None:
        self.act(
            lambda: build.correct_figures(
                self.past(build), energy_j=energy_j, material_mg=None, reason="the meter lied"
            ),
            build,
        )

    def correct_lots(self, build: Build) -> None:
        one, other = self.lots
        self.act(
            lambda: reassign_consumption(
                one,
                self.past(one),
                other,
                self.past(other),
                build_id=str(build.id),
                reason="wrong spool",
                now=self.now,
            ),
            one,
            other,
        )
