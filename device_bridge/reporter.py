"""What a session says to the core beside a build's own states: link, status, progress, stops."""

import asyncio
from typing import Any

from device_bridge.errors import NotHeldError
from device_bridge.outbox import Courier
from device_bridge.protocols import (
    DeviceIdentity,
    DeviceStatus,
    Progressed,
    TelemetrySample,
)
from device_bridge.telemetry.deadband import Deadband
from device_bridge.work import Work

PROGRESS_STEP = 5


class Reporter:
    """Collects from callbacks, which may not wait, and writes to the outbox in order."""

    def __init__(self, node_id: str, courier: Courier) -> None:
        self._node_id = node_id
        self._courier = courier
        self._deadband = Deadband()
        self._percent = 0
        self._awaited: Work | None = None
        self._reports: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()

    async def run(self) -> None:
        """Write for ever; cancel to stop."""
        while True:
            name, payload = await self._reports.get()
            await self._courier.post(self._node_id, name, payload)
            self._reports.task_done()

    async def written(self) -> None:
        """Return when all that was said so far is in the outbox: what follows comes after it."""
        await self._reports.join()

    def connected(self, identity: DeviceIdentity, status: DeviceStatus, *, virtual: bool) -> None:
        """The machine was reached; its status is told anew."""
        self._say("ConnectMachine", identity=identity.as_json(), virtual=virtual)
        self._deadband = Deadband()
        self.observed(status)

    def lost(self, reason: str) -> None:
        """The machine went away."""
        self._say("DisconnectMachine", reason=reason)

    def observed(self, status: DeviceStatus) -> None:
        """The machine's status; the same again is not told."""
        observation = self._deadband.observe(status)
        if observation is not None:
            self._say("ObserveNode", **observation)

    def warn(self, status: DeviceStatus, *, type: str, code: str, text: str) -> None:
        """Something that the machine does not say itself; it stands until ``relieve``."""
        self._deadband.warn(type=type, code=code, text=text)
        self.observed(status)

    def relieve(self, code: str, status: DeviceStatus) -> None:
        """It does not hold any more."""
        if self._deadband.relieve(code):
            self.observed(status)

    def not_held(self, text: str, status: DeviceStatus) -> None:
        """A person wanted the machine to hold and it does not: somebody has to look."""
        self._deadband.warn(type="MOTION_PROGRAM", code=NotHeldError.code, text=text)
        self.observed(status)

    def hold_settled(self, status: DeviceStatus) -> None:
        """It holds, or nobody wants it to any more."""
        if self._deadband.relieve(NotHeldError.code):
            self.observed(status)

    def measured(self, sample: TelemetrySample, status: DeviceStatus) -> None:
        """Readings; only a crossed limit is told."""
        if self._deadband.measured(sample.metrics):
            self.observed(status)

    def begins(self, work: Work) -> None:
        """A new build: it starts when the machine acknowledges something; progress is 0."""
        self._percent = 0
        self._awaited = work

    def progressed(self, event: Progressed) -> None:
        """The first acknowledgement is the start. Every 5 % is told, 100 % by the end itself."""
        self.moved()
        percent = event.lines_done * 100 // event.lines_total
        step = percent - percent % PROGRESS_STEP
        if self._percent < step < 100:
            self._percent = step
            progress = {"build_id": event.build_id, "percent": step}
            self._reports.put_nowait(("ReportProgress", progress))

    def moved(self) -> None:
        """The machine worked on the build: it has started, and no end of it is told before that.

        An end without a start would leave the bed clear in the core's eyes.
        """
        if self._awaited is not None:
            start = {"build_id": self._awaited.build_id, "epoch": self._awaited.epoch}
            self._awaited = None
            self._reports.put_nowait(("StartBuild", start))

    def _say(self, name: str, **payload: Any) -> None:
        self._reports.put_nowait((name, {"node_id": self._node_id, **payload}))
