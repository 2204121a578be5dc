"""Stories in which events know when they happened, and corrections come later."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from domain.inventory.aggregate import Inventory
from domain.node.aggregate import Node
from domain.shared.aggregate import PRESENT
from domain.shared.identifiers import derived
from projections.projection import Projection
from projections.rows import Rows
from tests.stories import Story


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
