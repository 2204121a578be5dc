"""Libraries that only some machines need, and what is said when they are not installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from device_bridge.errors import ExtraMissingError


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around an import of a library of the extra ``name``. Raises ``ExtraMissingError``."""
    try:
        yield
    except ModuleNotFoundError as missing:
        raise ExtraMissingError(
            f"{missing.name} is not installed", remedy=f"pip install 'imewe[{name}]'"
        ) from missing
