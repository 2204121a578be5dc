"""A driver on its peer, as each check of the suite finds it: fresh, and not yet connected."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

from device_bridge.drivers.spec import DriverSpec, Peer
from device_bridge.errors import DeviceError
from device_bridge.protocols import (
    DeviceDriver,
    DeviceEvent,
    JobSpec,
    Progressed,
    RunHandle,
    RunResult,
)
from domain.node.states import EmergencyStop

PATIENCE_S = 30.0
LOOK_S = 0.01
SETTLE_S = 0.5
PERSON = "certifier"


class CheckFailedError(Exception):
    """The driver did not do what it promises."""


class Bench:
    """One driver, its peer, and everything that the driver told."""

    def __init__(self, spec: DriverSpec, peer: Peer, folder: Path) -> None:
        self.spec = spec
        self.peer = peer
        self.told: list[DeviceEvent] = []
        self._folder = folder
        self._drivers: list[DeviceDriver] = []
        self._programs = 0
        self._run_id = token_hex(4)
        """A real machine remembers what earlier checks had it run, and refuses to repeat it."""
        self.driver = self.another()
        self.driver.listen(self.told.append)

    def another(self) -> DeviceDriver:
        """One more driver for the same machine."""
        driver = self.spec.make(self.peer.machine)
        self._drivers.append(driver)
        return driver

    def job(self, program: str) -> JobSpec:
        """A program in a file of its own."""
        self._programs += 1
        build_id = f"certify-{self._run_id}-{self._programs}"
        path = self._folder / f"{build_id}.gcode"
        path.write_text(program)
        return JobSpec(build_id=build_id, program=path)

    async def begin(self, program: str) -> RunHandle:
        """Connect, start a program and see its first lines taken."""
        await self.driver.connect()
        handle = await self.driver.execute_job(self.job(program))
        await until(lambda: self.lines_done() > 0 or self.starts() > 0, "the program begins")
        return handle

    async def end(self, handle: RunHandle) -> RunResult:
        """The result of a run."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await asyncio.shield(handle.result)
        except TimeoutError:
            raise CheckFailedError(f"no result within {PATIENCE_S:.0f} s") from None

    def lines_done(self) -> int:
        """What the newest progress said; 0 when there was none."""
        counts = [event.lines_done for event in self.told if isinstance(event, Progressed)]
        return counts[-1] if counts else 0

    def starts(self) -> int:
        """Physical starts; 0 where nobody counts them."""
        return self.peer.starts() if self.peer.starts is not None else 0

    def received(self) -> int:
        """What the machine was sent; 0 where nobody counts it."""
        return self.peer.received() if self.peer.received is not None else 0

    def hot(self) -> bool:
        """Whether a heater or a tool is on, where the peer can tell."""
        return self.peer.hot is not None and self.peer.hot()

    async def settle(self) -> None:
        """Give the machine a moment to be in the middle of what it was told."""
        await asyncio.sleep(SETTLE_S)

    async def close(self) -> None:
        """Give every port back."""
        for driver in self._drivers:
            with contextlib.suppress(DeviceError):
                await driver.disconnect()

    async def make_safe(self) -> None:
        """Before a machine of flesh and steel is left: nothing runs, holds or is hot on it."""
        if self.driver.get_status().emergency_stop is EmergencyStop.TRIGGERED:
            await self.driver.clear_fault(PERSON)
        with contextlib.suppress(DeviceError):  # nothing runs
            await self.driver.cancel()
        with contextlib.suppress(DeviceError):  # not connected, or nothing to switch off
            await self.driver.heat_off()


@asynccontextmanager
async def watched() -> AsyncIterator[list[str]]:
    """What escapes from callbacks and tasks meanwhile: a driver's crash that nobody awaits."""
    loop = asyncio.get_running_loop()
    escaped: list[str] = []

    def note(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        escaped.append(f"{type(error).__name__}: {error}" if error else str(context["message"]))

    before = loop.get_exception_handler()
    loop.set_exception_handler(note)
    try:
        yield escaped
    finally:
        loop.set_exception_handler(before)


async def until(fact: Callable[[], bool], what: str, *, within_s: float | None = None) -> None:
    """Wait for a fact. Raises ``CheckFailedError``."""
    within_s = min(within_s or PATIENCE_S, PATIENCE_S)
    give_up = asyncio.get_running_loop().time() + within_s
    while not fact():
        if asyncio.get_running_loop().time() > give_up:
            raise CheckFailedError(f"not within {within_s:.0f} s: {what}")
        await asyncio.sleep(LOOK_S)


def require(fact: object, what: str) -> None:
    """Raises ``CheckFailedError`` with these words unless it is so."""
    if not fact:
        raise CheckFailedError(what)
