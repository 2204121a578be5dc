"""The commands service, killed at a chosen step of an erasure. Arguments: home, number of the step.

A step is whatever changes the store of secrets, the kept answers or the log; counting begins with
the order to erase somebody.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from commands.accounts.authentication import Authentication
from commands.application import Imewe
from ops.eventstore.secrets import SecretBucket
from tests.integration.commands_process import main


class Countdown:
    """Ends the process before its step."""

    def __init__(self, steps: int) -> None:
        self._left = steps
        self.running = False

    def before(self, kind: type[Any], name: str) -> None:
        """Count a method of a class as a step."""
        real: Callable[..., Any] = getattr(kind, name)

        def step(*given: Any, **named: Any) -> Any:
            if self.running:
                if self._left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                self._left -= 1
            return real(*given, **named)

        setattr(kind, name, step)

    def begins_with(self, kind: type[Any], name: str) -> None:
        """Count from the call of this method on."""
        real: Callable[..., Any] = getattr(kind, name)

        def begin(*given: Any, **named: Any) -> Any:
            self.running = True
            return real(*given, **named)

        setattr(kind, name, begin)


if __name__ == "__main__":
    countdown = Countdown(int(sys.argv[2]))
    countdown.before(SecretBucket, "add")
    countdown.before(SecretBucket, "erase")
    countdown.before(Imewe, "record")
    countdown.begins_with(Authentication, "key_of")
    asyncio.run(main(Path(sys.argv[1])))
