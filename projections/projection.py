"""What a projection is: a pure fold of events into rows, and the tables that hold them."""

from collections.abc import Iterable
from itertools import chain
from typing import Any, ClassVar

from eventsourcing.utils import get_topic

from domain.shared.aggregate import Fact
from domain.shared.recorded import RecordedEvent
from projections.past import past_definition
from projections.postgres import Cursor, bare_definition, definition, later_keys, write
from projections.rows import Need, Rows
from projections.table import Table


class Projection:
    """Base of all projections. No clock, no random, no output: the same events, the same rows.

    ``version`` counts up when the same events shall lead to other rows. ``topics`` are the events
    it folds; the runner moves its position over all others.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    topics: ClassVar[frozenset[str]]
    tables: ClassVar[tuple[Table[Any], ...]]

    keeps_past: ClassVar[bool] = True
    """Whether the histories are kept."""

    @property
    def schema(self) -> str:
        """DDL of all tables."""
        return "\n".join(definition(table, past=self.keeps_past) for table in self.tables)

    @property
    def bare_schema(self) -> str:
        """The same without ``later_keys``, to be filled faster."""
        return "\n".join(bare_definition(table, past=self.keeps_past) for table in self.tables)

    @property
    def later_keys(self) -> dict[str, str]:
        """DDL of keys and indexes of tables that only grow, by table."""
        found = (later_keys(table, past=self.keeps_past) for table in self.tables)
        return dict(chain.from_iterable(found))

    def past(self, schema: str) -> str:
        """DDL of the views of what was so in ``schema`` at a position; see ``past``."""
        return past_definition(schema, self.tables) if self.keeps_past else ""

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of aggregates it folds, as they stand in subjects."""
        return frozenset(topic.partition(":")[0].removeprefix("imewe.") for topic in self.topics)

    def needs(self, recorded: RecordedEvent) -> Iterable[Need]:
        """Rows to load before the fold; they follow from the event alone."""
        return ()

    def fold(self, rows: Rows, recorded: RecordedEvent) -> None:
        """Remember one event. Raising parks its aggregate and changes nothing."""
        raise NotImplementedError

    def flush(self, cursor: Cursor, rows: Rows) -> None:
        """Write what the folds of a batch did, set-based."""
        write(cursor, rows, past=self.keeps_past)


def topics_of(*aggregates: type[Any]) -> frozenset[str]:
    """Topics of all events of some aggregates."""
    return frozenset(
        get_topic(member)
        for aggregate in aggregates
        for member in vars(aggregate).values()
        if isinstance(member, type) and issubclass(member, Fact) and hasattr(member, "TOPIC")
    )
