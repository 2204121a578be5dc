"""A stand-in for one of our services: answers HTTP if told to, and obeys SIGTERM or not.

Arguments: home, name, ``serve`` or ``wait``, ``polite`` or ``deaf``.
"""

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from ops.cli.run import end_with_parent
from ops.hosting.entrance import http_port
from ops.settings import Settings


def main() -> None:
    home, name, role, manners = Path(sys.argv[1]), *sys.argv[2:5]
    threading.Thread(target=end_with_parent, daemon=True).start()
    if manners == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with (home / "starts").open("a") as starts:
        starts.write(f"{name} {os.getpid()}\n")
    if role == "serve":
        _serve(http_port(Settings(home=home)))
    while True:
        time.sleep(60)


def _serve(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            client, _ = listener.accept()
            with client:
                client.recv(1024)
                client.sendall(b"HTTP/1.0 200 OK\r\n\r\nup")


if __name__ == "__main__":
    main()
