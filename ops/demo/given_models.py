"""The files that a person gives to the demo, looked at before anything is started for them."""

from collections.abc import Iterable
from pathlib import Path

from domain.part.formats import ContentCheck
from domain.shared.errors import InvalidInputError

CHUNK_BYTES = 1 << 20


def demand_models(paths: Iterable[Path]) -> None:
    """Read every file once. Raises ``InvalidInputError`` for one that cannot be read, is empty,
    cut off or of no known format; what is in it is for the system to judge."""
    for path in paths:
        check = ContentCheck(path.name)
        try:
            with path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    check.feed(chunk)
        except OSError as error:
            raise InvalidInputError(
                f"{path} cannot be read: {error.strerror}", field="models"
            ) from error
        check.finish()
