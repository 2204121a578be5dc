"""Every aggregate there is. Importing this makes the topics of all their events known."""

from domain.account.aggregate import Account
from domain.build.aggregate import Build
from domain.dispatch.aggregate import Dispatch
from domain.inventory.aggregate import Inventory
from domain.job.aggregate import Job
from domain.node.aggregate import Node
from domain.organisation.aggregate import Organisation
from domain.part.aggregate import Part
from domain.period.aggregate import Period
from domain.shared.aggregate import ImeweAggregate

AGGREGATES: tuple[type[ImeweAggregate], ...] = (
    Account,
    Build,
    Dispatch,
    Inventory,
    Job,
    Node,
    Organisation,
    Part,
    Period,
)
