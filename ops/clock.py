"""The system's clock, behind the ``Clock`` port; tests bring their own."""

import time
from datetime import UTC, datetime


class SystemClock:
    """Wall time in UTC, cut to milliseconds: what is stored is what was compared."""

    def now(self) -> datetime:
        instant = datetime.now(UTC)
        return instant.replace(microsecond=instant.microsecond // 1000 * 1000)

    def monotonic(self) -> float:
        """Seconds from a fixed unknown moment, for measuring how long something took."""
        return time.monotonic()
