"""Every projection there is."""

from domain.shared.errors import NotFoundError
from projections.accounts.projector import Accounts
from projections.history.projector import History
from projections.inventory.projector import InventoryLedger
from projections.jobs.projector import Jobs
from projections.kpis.projector import Kpis
from projections.nodes.projector import Nodes
from projections.projection import Projection

CATALOGUE: tuple[Projection, ...] = (
    Jobs(),
    Nodes(),
    InventoryLedger(),
    History(),
    Kpis(),
    Accounts(),
)
EARLIER: tuple[Projection, ...] = ()
"""Older versions that this release still folds: the schema of one stays up to date beside its
successor's, so that the two can be compared and rolled back from one to the other."""


def projection_named(name: str) -> Projection:
    """Raises ``NotFoundError``."""
    for each in CATALOGUE:
        if each.name == name:
            return each
    names = ", ".join(each.name for each in CATALOGUE)
    raise NotFoundError(f"there is no projection {name}", field="name", remedy=f"one of {names}")
