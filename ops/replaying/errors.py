"""What can be wrong with an exported log."""

from domain.shared.errors import InvalidInputError, UnavailableError


class ExportError(InvalidInputError):
    """The file is no export, or not the one that was written: ``line`` and ``sequence`` say where.

    0 stands for what is not known. ``line`` counts rows in a Parquet file.
    """

    code = "BAD_EXPORT"

    def __init__(self, problem: str, *, line: int = 0, sequence: int = 0) -> None:
        where = f"line {line}" if line else "the file"
        about = f" (sequence {sequence})" if sequence else ""
        super().__init__(f"{where}{about}: {problem}", field="export")
        self.line = line
        self.sequence = sequence


class MissingExtraError(UnavailableError):
    """An optional package is not installed."""

    code = "MISSING_EXTRA"
