"""Which bridge a machine hangs on and whose it is: none of it changes once it is registered."""

from dataclasses import dataclass

from projections.nodes.rows import NodeRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """A machine's bridge, owner and tenant."""

    node_id: str
    bridge: str
    owner_id: str
    organisation_id: str


class KnownNodes:
    """Every machine that anybody was shown since this gateway started."""

    def __init__(self) -> None:
        self._known: dict[str, Whereabouts] = {}

    def learn(self, row: NodeRow) -> Whereabouts:
        """Remember a machine."""
        place = Whereabouts(
            node_id=row.id,
            bridge=row.bridge,
            owner_id=row.owner_id,
            organisation_id=row.organisation_id,
        )
        self._known[row.id] = place
        return place

    def find(self, node_id: str) -> Whereabouts | None:
        """A machine by its canonical id, or ``None`` when it was not met yet."""
        return self._known.get(node_id)

    def all(self) -> list[Whereabouts]:
        """Every one of them."""
        return list(self._known.values())
