"""A slow build in a process of its own, to be killed; see test_rebuild_builds."""

import sys
import time

from domain.shared.errors import ImeweError
from domain.shared.recorded import RecordedEvent
from ops.projecting.versions import Versions
from projections.catalogue import CATALOGUE
from tests.projecting import SmallBatches
from tests.rebuilding import Rig
from tests.stories import busy_shop


class Slow(SmallBatches):
    """Gives a little at a time."""

    def read(self, after: int, limit: int = 1000) -> list[RecordedEvent]:
        time.sleep(0.05)
        return super().read(after, limit)


if __name__ == "__main__":
    events = busy_shop(16).events
    try:
        Rig(sys.argv[1], Slow(events, size=20), Versions(CATALOGUE)).do("build")
    except ImeweError:
        sys.exit(1)
