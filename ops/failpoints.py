"""Fail points: named places between an effect and its acknowledgement, where a test ends a program
or lets it stand still.

They do nothing unless ``IMEWE_FAIL_POINTS`` names a folder, which an installation with
``IMEWE_PRODUCTION=1`` refuses. Then a file there with the name of a point is taken away by the
next program that comes by, and that program ends as by ``kill -9``. A number in the file says at
which time of coming by (else the first); the word ``stop`` lets it stop until it gets SIGCONT.
"""

import contextlib
import os
import signal
from pathlib import Path
from typing import Final

POINTS: Final = {
    "commands.append.before": "decided, nothing in the log yet",
    "commands.append.after": "in the log, no answer yet",
    "commands.answer.before": "the answer is not kept yet",
    "commands.answer.after": "the answer is kept",
    "commands.reply.before": "done, and nobody was told",
    "processes.answered": "a command was obeyed, the position is not stored",
    "processes.work.relayed": "a build is on the queue, the position is not stored",
    "processes.position.stored": "the position is stored",
    "processes.alarm.done": "an alarm was obeyed and is not forgotten yet",
    "projections.rows.flushed": "rows are written and not committed",
    "projections.rows.committed": "rows are committed and not announced",
    "bridge.answered": "the core has heard a report, the journal does not know it",
    "bridge.work.before": "work was read or written down, and is still on the queue",
    "bridge.work.after": "work is off the queue, no byte was sent to the machine",
    "notary.events.taken": "leaves are in the tree, no head covers them",
    "notary.head.signed": "a head is in the stream and not remembered",
    "gateway.answered": "a command was obeyed, the person was not told",
}
"""What is true when a program ends there. The points named ``answered`` are told apart by the
command: the file's name is ``gateway.answered.SubmitJob``."""

_folder: Path | None = None


def watch(folder: Path | None) -> None:
    """From now on look into this folder, or into none."""
    global _folder
    _folder = folder


def reach(point: str, about: str = "") -> None:
    """The program has come to a point; it may not return."""
    if _folder is not None:
        _look(_folder / (f"{point}.{about}" if about else point))


def _look(file: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        words = file.read_text().split()
        left = next((int(word) for word in words if word.isdigit()), 1) - 1
        if left > 0:
            file.write_text(" ".join([str(left), *words[1:]]))
            return
        file.unlink()
        os.kill(os.getpid(), signal.SIGSTOP if "stop" in words else signal.SIGKILL)
