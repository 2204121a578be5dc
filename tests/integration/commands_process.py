"""The commands service alone, without the processes, until SIGTERM.

Arguments: the home, and perhaps the folder of fail points.
"""

import asyncio
import signal
import sys
from pathlib import Path

from ops import failpoints
from ops.services.commands import serve
from ops.settings import Settings


async def main(home: Path) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await serve(Settings(home=home, admin_password="correct horse"), stopping)


if __name__ == "__main__":
    failpoints.watch(Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    asyncio.run(main(Path(sys.argv[1])))
