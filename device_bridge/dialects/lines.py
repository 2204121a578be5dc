"""Bytes to lines, whatever the chunks."""

LONGEST_LINE = 512


class LineBuffer:
    """Cuts a byte stream into text lines at CR or LF.

    A line that grows beyond ``longest`` bytes can only be damage: it is dropped up to its end, so
    that a wire full of noise never fills memory and never hides the next good line.
    """

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._rest = b""
        self._dropping = False

    def feed(self, data: bytes) -> list[str]:
        """The lines completed by these bytes, without their ends; empty ones left out."""
        *complete, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        if self._dropping and complete:
            complete.pop(0)
            self._dropping = False
        if len(self._rest) > self._longest:
            self._rest = b""
            self._dropping = True
        if self._dropping:
            self._rest = b""
        return [
            line.decode("ascii", errors="replace")
            for line in complete
            if line and len(line) <= self._longest
        ]
