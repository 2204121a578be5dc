"""One machine's emergency stop: the deed first, the latch beside it, the record after."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import structlog

from device_bridge.errors import DeviceError, EmergencyLatchedError
from device_bridge.protocols import DeviceDriver, EStopReceipt
from device_bridge.safety.latches import Latch, Latches

INSIST_S = 1.0
"""An unconfirmed stop is tried again after so long, until the machine says that it halted."""
PATIENCE_S = 0.1
"""An answer waits so long for the disk: a person must hear that the machine halted."""
RawStop = Callable[[], Awaitable[EStopReceipt | None]] | None
Post = Callable[[str, dict[str, Any]], Awaitable[None]]


class Stops:
    """Latched from the first call until ``lift``, also across a restart of the bridge.

    ``raw`` is the second way to a machine whose driver has no connection or whose firmware does
    not obey: it opens the port itself, which resets many boards. ``post`` puts a command into
    the journal's outbox.
    """

    def __init__(
        self,
        node_id: str,
        driver: DeviceDriver,
        latches: Latches,
        *,
        post: Post,
        raw: RawStop,
    ) -> None:
        self._node_id = node_id
        self._driver = driver
        self._latches = latches
        self._post = post
        self._raw = raw
        self.latched = latches.find(node_id) is not None
        self.asked = 0
        """How often this bridge was told to stop."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._insisting: asyncio.Task[None] | None = None
        self._enough = asyncio.Event()
        self._log = structlog.get_logger("bridge.stops").bind(node_id=node_id)

    async def stop(self, stopped_by: str) -> EStopReceipt:
        """Halt the machine. Returns with its answer, or without one after a second."""
        self.latched = True
        self.asked += 1
        deed = asyncio.ensure_future(self._halt())
        await asyncio.sleep(0)  # the bytes are on their way before anything is written down
        begun = self._aside(self._latches.begin, self._node_id, stopped_by)
        receipt = await deed
        await asyncio.wait({begun}, timeout=PATIENCE_S)
        self._go(self._record(begun, receipt, stopped_by))
        self._insist(receipt.confirmed)
        return receipt

    async def recall(self) -> None:
        """After a restart: what was stopped and never told is told now, and what never confirmed
        is stopped again."""
        latch = await self._aside(self._latches.find, self._node_id)
        if latch is None:
            return
        if not latch.told:
            await self._tell(latch)
        self._insist(latch.confirmed)

    async def hush(self) -> None:
        """Before a person's clearing: the port is left alone from when this returns."""
        self._enough.set()
        if self._insisting is not None:
            await self._insisting

    async def lift(self, *, asked: int) -> None:
        """A person says that it is safe again after ``asked`` stops. It stays latched with
        ``OSError``, and with ``EmergencyLatchedError`` when somebody stopped it meanwhile."""
        if self.asked == asked:
            await self._aside(self._latches.lift, self._node_id)
        if self.asked != asked:  # its latch is written after the old one was lifted
            raise EmergencyLatchedError(
                "it was stopped again meanwhile", remedy="look at the machine, then clear it again"
            )
        self.latched = False

    async def close(self) -> None:
        """Finish what is being written down."""
        await self.hush()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _halt(self) -> EStopReceipt:
        """By the driver; a machine it cannot reach is tried once more by its bare port."""
        began = monotonic()
        try:
            receipt = await self._driver.emergency_stop()
        except (DeviceError, TimeoutError, OSError) as problem:
            self._log.error("stop_failed", problem=str(problem))
            waited = (monotonic() - began) * 1000
            receipt = EStopReceipt(confirmed=False, latency_ms=waited, native_text=str(problem))
        if receipt.confirmed or self._raw is None:
            return receipt
        with contextlib.suppress(DeviceError):
            await self._driver.disconnect()  # the stream is dropped, and the port is free
        return await self._raw() or receipt

    def _insist(self, confirmed: bool) -> None:
        self._enough.clear()
        tried = self._raw is not None and not confirmed
        if tried and (self._insisting is None or self._insisting.done()):
            self._insisting = asyncio.get_running_loop().create_task(self._until_confirmed())

    async def _until_confirmed(self) -> None:
        while not self._enough.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._enough.wait(), INSIST_S)
                return
            receipt = await self._raw() if self._raw else None
            if receipt is not None and receipt.confirmed:
                self._log.warning("stop_confirmed_late", native_text=receipt.native_text)
                await self._confirm(receipt)
                return

    async def _confirm(self, receipt: EStopReceipt) -> None:
        with contextlib.suppress(OSError):
            await self._aside(lambda: self._latches.note(self._node_id, **receipt.as_json()))

    async def _record(
        self, begun: "asyncio.Future[None]", receipt: EStopReceipt, stopped_by: str
    ) -> None:
        """The latch with its receipt, then the journal; a full disk stops neither."""
        await asyncio.wait({begun})
        facts = receipt.as_json()
        try:
            begun.result()
            latch = await self._aside(lambda: self._latches.note(self._node_id, **facts))
        except OSError as problem:
            self._log.error("latch_not_written", problem=str(problem))
            latch = Latch(node_id=self._node_id, stopped_by=stopped_by, at="", **facts)
        if latch is not None and not latch.told:
            await self._tell(latch)

    async def _tell(self, latch: Latch) -> None:
        told = {
            "node_id": self._node_id,
            "stopped_by": latch.stopped_by,
            "latency_ms": round(latch.latency_ms),
        }
        await self._post("RecordEmergencyStop", told)
        await self._aside(lambda: self._latches.note(self._node_id, told=True))

    def _aside(self, call: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
        return asyncio.get_running_loop().run_in_executor(self._latches.thread, call, *args)

    def _go(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            self._log.error("stop_not_recorded", problem=str(problem))
