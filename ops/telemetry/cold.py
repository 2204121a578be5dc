"""Cold files as readers find them: the folder, and the library only when a file is asked for."""

import importlib.util
from pathlib import Path

from domain.shared.errors import InvalidInputError, UnavailableError
from ops.settings import Settings
from projections.telemetry.rows import Asked, Reading

REMEDY = "install the extra: pip install 'imewe[parquet]'"


class ColdFiles:
    """`ColdTier` over a folder. The library takes 60 MB of memory, from the first question on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def readings(
        self, path: str, *, node_id: str, asked: Asked, channels: frozenset[str]
    ) -> dict[str, list[Reading]]:
        """See `ColdTier`."""
        if not has_library():
            raise UnavailableError("those readings lie in Parquet files", remedy=REMEDY)
        from ops.telemetry import parquet

        return parquet.readings_of(
            self._folder / path, node_id=node_id, asked=asked, channels=channels
        )


def cold_folder(settings: Settings) -> Path:
    """Where cold files lie."""
    return settings.telemetry_cold or settings.home / "telemetry"


def has_library() -> bool:
    """Whether Parquet can be written and read here."""
    return importlib.util.find_spec("pyarrow") is not None


def demand_library() -> None:
    """Raises `InvalidInputError` with the remedy where it cannot."""
    if not has_library():
        raise InvalidInputError("Parquet files cannot be written here", remedy=REMEDY)
