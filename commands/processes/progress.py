"""How far the log has been worked through when steps end in another order than they began."""


class Progress:
    """``mark``: everything up to this position has been done. Positions begin in rising order."""

    def __init__(self, mark: int) -> None:
        self.mark = mark
        self._last = mark
        self._open: dict[int, int] = {}

    @property
    def open(self) -> int:
        """How many positions have begun and not ended."""
        return len(self._open)

    def begin(self, position: int, parts: int) -> None:
        """A position was read; ``parts`` things are to be done for it, perhaps none."""
        self._last = position
        if parts:
            self._open[position] = parts
        self._advance()

    def done(self, position: int) -> None:
        """One of the things was done."""
        self._open[position] -= 1
        if not self._open[position]:
            del self._open[position]
            self._advance()

    def _advance(self) -> None:
        self.mark = next(iter(self._open)) - 1 if self._open else self._last
