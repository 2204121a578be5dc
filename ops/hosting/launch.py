"""Starts one program so that it ends with its parent. Run as a script, standard library only.

Arguments: parent pid, signal, uid, gid (-1: keep), ``exec`` or ``guard``, then the program's own.

On Linux the process changes to the account, asks the kernel for ``signal`` at its parent's death
(in this order: changing the account clears the wish) and becomes the program. Elsewhere it stays
as a guard: standard input is a pipe from the parent, whose end means that the parent is gone.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    parent, death_signal, uid, gid = (int(value) for value in arguments[:4])
    how, command = arguments[4], arguments[5:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if how == "guard":
        return guard(command, death_signal=death_signal)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        return 1  # the parent ended before the wish was made
    os.execv(command[0], command)


def guard(command: list[str], *, death_signal: int) -> int:
    """Run ``command`` and hand it our signals; stop it when standard input ends."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(each, lambda number, _: child.send_signal(number))
    watched = [sys.stdin.fileno(), ended]
    while child.poll() is None:
        readable, _, _ = select.select(watched, [], [])
        if ended in readable:
            os.read(ended, 512)
        elif not os.read(watched[0], 512):
            watched.pop(0)
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(death_signal)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
