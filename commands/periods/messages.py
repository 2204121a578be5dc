"""Commands about months."""

from commands.message import message


@message
class CutOffPeriod:
    """An admin lets a past month's report count what is in the log now. ``month``: 2026-10."""

    month: str


@message
class ClosePeriod:
    """An admin fixes the report that was drawn up at the cut-off.

    ``position``: that of the cut-off; ``figures`` and ``digest``: the report's, which anybody can
    draw up again.
    """

    month: str
    position: int
    figures: dict[str, int]
    digest: str
