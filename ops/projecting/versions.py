"""Which versions of which projections this program can fold."""

from collections.abc import Sequence

from domain.shared.errors import NotFoundError
from projections.projection import Projection


class Versions:
    """``current`` is what this release builds; ``earlier`` is what it can keep up to date too."""

    def __init__(self, current: Sequence[Projection], earlier: Sequence[Projection] = ()) -> None:
        self.current = tuple(current)
        self._known = {(each.name, each.version): each for each in (*earlier, *current)}

    def named(self, name: str) -> Projection:
        """The newest version. Raises ``NotFoundError``."""
        for each in self.current:
            if each.name == name:
                return each
        names = ", ".join(each.name for each in self.current)
        raise NotFoundError(
            f"there is no projection {name[:80]}", field="name", remedy=f"one of {names}"
        )

    def find(self, name: str, version: int) -> Projection | None:
        """What folds that version, if this program does."""
        return self._known.get((name, version))
