"""The process that looks at other people's files, so that no service does.

One JSON request a line on standard input, one JSON answer a line on standard output. It bounds its
own memory before it reads anything, and when its parent is gone (end of input) it ends at once
with everything it started: its parent put it into a process group of its own.
"""

import contextlib
import importlib
import json
import os
import queue
import resource
import signal
import sys
import threading
from typing import Any, Final, TextIO

from domain.shared.errors import InvalidInputError

TASKS: Final = {
    "measure": "ops.fabrication.mesh",
    "read": "ops.fabrication.program",
    "slice": "ops.fabrication.slicing",
}
"""Each module has ``run(request) -> answer``; only what is asked for is imported."""
POLITENESS: Final = 5


def main() -> None:
    """Answer requests until the parent closes the input. First argument: bytes of memory."""
    _bound_memory(int(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(POLITENESS)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)  # a library that prints must not garble the answers
        _serve(answers)


def _bound_memory(wanted: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    with contextlib.suppress(ValueError):  # macOS knows no such limit
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _serve(answers: TextIO) -> None:
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    while True:
        answers.write(json.dumps(_answer(json.loads(requests.get()))) + "\n")
        answers.flush()


def _listen(requests: "queue.SimpleQueue[str]") -> None:
    for line in sys.stdin:
        requests.put(line)
    os.killpg(0, signal.SIGKILL)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"done": importlib.import_module(TASKS[request["task"]]).run(request)}
    except InvalidInputError as refused:
        return {"refused": refused.message, "remedy": refused.remedy}
    except MemoryError:
        return {
            "refused": "The file needs more memory than one file may have.",
            "remedy": "Reduce the number of triangles.",
        }


if __name__ == "__main__":
    main()
