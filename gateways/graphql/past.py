"""Looks at the past: which moment a field shows, and in which words clients name it."""

from datetime import datetime
from typing import Annotated, Self

import strawberry
from strawberry.types.unset import UNSET

from domain.ports import Clock
from domain.shared.errors import InvalidInputError
from gateways.graphql.fields import described
from gateways.graphql.scalars import Instant, Position
from projections.reading import Moment, When


@strawberry.input(
    name="AsOf",
    one_of=True,
    description="A moment of the log; exactly one of the two. What may be seen of it goes by the"
    " rights that you have now.",
)
class AsOfInput:
    position: Position | None = strawberry.field(
        default=UNSET,
        description="As it was when this event, and no later one, had happened; 0 is before all.",
    )
    time: Instant | None = strawberry.field(
        default=UNSET,
        description="As it was after the last event that the log had taken by then, by the log"
        " server's clock; not in the future.",
    )

    def when(self, clock: Clock) -> When:
        """As readings take it. Raises ``InvalidInputError`` for the future."""
        if isinstance(self.time, datetime):
            if self.time > clock.now():
                raise InvalidInputError(
                    "what will be is not known", field="asOf", remedy="ask for a past time"
                )
            return self.time
        return int(self.position or 0)


AsOf = Annotated[
    AsOfInput | None,
    strawberry.argument(
        description="Show what was so at that moment, everything below included; else the present."
    ),
]


@strawberry.type(
    name="Moment", description="A moment of the past. Asking for its position again shows the same."
)
class MomentShown:
    position: Position = described("The last event that is seen.")
    time: Instant | None = described(
        "The time that was asked for, or when the log took that event; null before the first."
    )

    @classmethod
    def of(cls, moment: Moment | None) -> Self | None:
        """``None`` is the present."""
        if moment is None:
            return None
        time = Instant(moment.time) if moment.time else None
        return cls(position=Position(moment.position), time=time)
