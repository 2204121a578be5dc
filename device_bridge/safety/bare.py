"""Bringing a machine to rest by its bare port, when no driver holds it. Blocking; no asyncio.

Used by the watcher of a dead bridge, by the command line without a bridge, and by a stop whose
driver has no connection. It opens a serial port for itself alone, so it can never speak between
the lines of a driver. Opening a port resets many boards, which also ends heat and motion.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import serial

from device_bridge.errors import LinkLostError, PortError

NETWORK = ("tcp://", "socket://")
STOP_S = 1.0
HOLD_S = 8.0
COOL_S = 30.0
ASK_S = 0.5
GRBL_LIKE = frozenset({"grbl", "grblhal", "laser"})
MARLIN_LIKE = frozenset({"marlin", "reprap"})
MARLIN_OFF = (
    b"M104 S0",
    b"M140 S0",
    b"M107",
)
_TARGET = re.compile(rb"(?:T\d?|B|C):-?[\d.]+ ?/(-?[\d.]+)")
_STATE = re.compile(rb"<(\w+(?::\d)?)[|>]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What was done to a machine, whether it said so itself, and its words."""

    done: str
    confirmed: bool
    latency_ms: float
    native_text: str = ""


class BarePort:
    """A serial port, held exclusively, or a port of a network, which cannot be.

    Raises ``PortError`` when it cannot be had.
    """

    def __init__(self, path: str, baudrate: int) -> None:
        try:
            if path.startswith(NETWORK):
                url = f"socket://{path.partition('://')[2]}"
                self._port = serial.serial_for_url(url, timeout=0.02)
            else:
                self._port = serial.Serial(
                    path, baudrate, timeout=0.02, write_timeout=1.0, exclusive=True
                )
        except (OSError, ValueError) as problem:
            raise PortError(f"port {path} cannot be opened: {problem}") from problem
        self.heard = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._port.close()

    def write(self, data: bytes) -> None:
        """Raises ``LinkLostError``."""
        try:
            self._port.write(data)
        except OSError as problem:
            raise LinkLostError(f"the port is gone: {problem}") from problem

    def wait(self, found: Callable[[bytes], bool], *, within_s: float) -> bool:
        """Whether what was heard since the last ``forget`` satisfies ``found`` in time."""
        give_up = time.monotonic() + within_s
        while not found(self.heard):
            if time.monotonic() > give_up:
                return False
            try:
                self.heard += self._port.read(4096)
            except OSError as problem:
                raise LinkLostError(f"the port is gone: {problem}") from problem
        return True

    def forget(self) -> None:
        """Only what comes from now on counts."""
        self.heard = b""


def stop(path: str, *, dialect: str, baudrate: int) -> Deed:
    """Emergency stop. Raises ``PortError``, ``LinkLostError``."""
    began = time.monotonic()
    with BarePort(path, baudrate) as port:
        if dialect in GRBL_LIKE:
            port.write(b"\x18")
            confirmed = port.wait(lambda heard: b"Grbl" in heard, within_s=STOP_S)
        else:
            port.write(b"\nM112\n")
            confirmed = port.wait(_halted, within_s=STOP_S)
        took = (time.monotonic() - began) * 1000
        return Deed(
            done="stopped", confirmed=confirmed, latency_ms=took, native_text=_last(port.heard)
        )


def make_safe(path: str, *, dialect: str, baudrate: int, policy: str) -> Deed:
    """Bring a machine that nobody drives any more to rest.

    ``cool``: motion ends, then heaters, spindle and laser are off; a machine that does not say so
    is halted. ``pause``: it holds with its heat on, its spindle stopped. Raises ``PortError``,
    ``LinkLostError``.
    """
    began = time.monotonic()
    with BarePort(path, baudrate) as port:
        calm = _calm_grbl if dialect in GRBL_LIKE else _calm_marlin
        done, confirmed = calm(port, policy)
        took = (time.monotonic() - began) * 1000
        return Deed(done=done, confirmed=confirmed, latency_ms=took, native_text=_last(port.heard))


def _calm_grbl(port: BarePort, policy: str) -> tuple[str, bool]:
    """``!`` until nothing moves; then either the spindle alone or a soft reset, which ends all."""
    port.write(b"!")
    held = _grbl_rests(port)
    if policy == "pause" and held:
        port.write(b"\x9e")  # stops the spindle of a held machine, and a resume turns it on again
        return "held", True
    port.forget()
    port.write(b"\x18")
    return "reset", port.wait(lambda heard: b"Grbl" in heard, within_s=STOP_S)


def _grbl_rests(port: BarePort) -> bool:
    give_up = time.monotonic() + HOLD_S
    while time.monotonic() < give_up:
        port.forget()
        port.write(b"?")
        if port.wait(lambda heard: _STATE.search(heard) is not None, within_s=ASK_S):
            found = _STATE.search(port.heard)
            if found and found[1] not in {b"Run", b"Jog", b"Home", b"Hold:1"}:
                return True
        time.sleep(0.1)
    return False


def _calm_marlin(port: BarePort, policy: str) -> tuple[str, bool]:
    """A printer that is fed nothing comes to rest by itself; its heat does not."""
    if policy == "pause":
        port.write(b"\nM105\n")
        return "held", port.wait(lambda heard: b"ok" in heard, within_s=COOL_S)
    port.write(b"\nM108\nM410\n" + b"\n".join(MARLIN_OFF) + b"\nM105\n")
    asked = time.monotonic()
    while time.monotonic() < asked + COOL_S:
        if port.wait(_all_off, within_s=2 * ASK_S):
            return "cooled", True
        port.forget()
        port.write(b"M105\n")
    port.forget()
    port.write(b"\nM112\n")
    return "halted", port.wait(_halted, within_s=STOP_S)


def _all_off(heard: bytes) -> bool:
    """Whether the newest complete report shows no heater with a set-point."""
    for line in reversed(heard.split(b"\n")[:-1]):
        if targets := _TARGET.findall(line):
            return all(float(target) <= 0 for target in targets)
    return False


def _halted(heard: bytes) -> bool:
    return b"kill()" in heard or b"Printer halted" in heard or b"\nstart" in b"\n" + heard


def _last(heard: bytes) -> str:
    lines = [line.strip() for line in heard.decode("ascii", errors="replace").splitlines()]
    said = [line for line in lines if line]
    return said[-1][:200] if said else ""
