"""Takes builds from a node's work queue: believe nothing, write down, then act."""

import asyncio
import hashlib
import shutil
from pathlib import Path
from typing import Any
from uuid import uuid5

import structlog

from device_bridge.attending import ENDS, Word
from device_bridge.errors import DeviceError, MachineBusyError, WithdrawnError
from device_bridge.journal import COMMAND_NAMES, BuildState, Journal
from device_bridge.outbox import Courier
from device_bridge.outcomes import NO_FIGURES
from device_bridge.protocols import WorkItem, WorkQueue
from device_bridge.session import Session
from device_bridge.work import Work, parse_work
from domain.ports import ArtifactStore, CommandPort
from domain.shared.errors import (
    ConflictError,
    ImeweError,
    InvalidInputError,
    NotFoundError,
    StaleEpochError,
    StorageFullError,
    UnavailableError,
)

BUSY_RETRY_S = 2.0
FETCH_TRIES = 5
READY_S = 30.0
RESERVE = 64 << 20
"""Bytes that must stay free for the journal of what is on the machines already."""


class Dispatcher:
    """One per machine. The queue is a hint, the log (asked by ``AcceptBuild``) the authority.

    A message is acknowledged once the intent is in the journal; a build that the journal knows
    is never started again, its state has been, or will be, reported by the outbox.
    """

    def __init__(
        self,
        session: Session,
        *,
        queue: WorkQueue,
        commands: CommandPort,
        artifacts: ArtifactStore,
        journal: Journal,
        courier: Courier,
        spool: Path,
    ) -> None:
        self._session = session
        self._node_id = session.node_id
        self._queue = queue
        self._commands = commands
        self._artifacts = artifacts
        self._journal = journal
        self._courier = courier
        self._spool = spool
        self._withdrawn: set[str] = set()
        self._log = structlog.get_logger("bridge.dispatcher").bind(node_id=self._node_id)

    async def run(self) -> None:
        """First what was accepted before a restart, then the queue; cancel to stop."""
        for entry in await self._journal.unfinished(self._node_id):
            if entry.state is BuildState.ACCEPTED:
                await self._take_up(entry.work)
        while True:
            await self._session.ready()
            await self.handle(await self._queue.pull(self._node_id))

    async def handle(self, item: WorkItem) -> None:
        """One message of the queue, to the end of the build that it starts."""
        try:
            work = parse_work(item.body)
        except InvalidInputError as problem:
            self._log.warning("work_unreadable", problem=problem.message)
            await item.acknowledge()
            return
        if work.node_id != self._node_id:
            self._log.warning("work_for_another_node", build_id=work.build_id)
            await item.acknowledge()
        elif work.command != "start":
            await item.acknowledge()
            await self._obey(work)
        elif await self._journal.entry(work.build_id):
            self._log.info("work_known", build_id=work.build_id)
            await item.acknowledge()
            self._courier.wake(self._node_id)
        else:
            await self._start(work, item)

    async def _start(self, work: Work, item: WorkItem) -> None:
        try:
            self._demand_room(work)
            await self._agree(work)
            await self._journal.accept(work)
        except (UnavailableError, ConflictError, TimeoutError) as problem:
            self._log.info("work_waits", build_id=work.build_id, problem=str(problem))
            await item.retry(BUSY_RETRY_S)
            return
        except ImeweError as refusal:
            self._log.warning("work_refused", build_id=work.build_id, code=refusal.code)
            await item.acknowledge()
            return
        await item.acknowledge()
        await self._perform(work)

    async def _take_up(self, work: Work) -> None:
        """Accepted before a restart, and no byte was written: ask the log again, then go on."""
        await self._session.ready()
        while True:
            try:
                await self._agree(work)
                break
            except (UnavailableError, ConflictError, TimeoutError):
                await asyncio.sleep(BUSY_RETRY_S)
            except ImeweError as refusal:
                self._log.warning("work_withdrawn", build_id=work.build_id, code=refusal.code)
                await self._journal.record(work, BuildState.CANCELLED)
                return
        await self._perform(work)

    async def _agree(self, work: Work) -> None:
        """The log's own words for this build; a message that differs is refused."""
        command_id = uuid5(COMMAND_NAMES, f"{self._node_id}:{work.build_id}:{work.epoch}:accept")
        answer = await self._commands.send(
            "AcceptBuild",
            {"build_id": work.build_id, "node_id": work.node_id, "epoch": work.epoch},
            command_id=str(command_id),
            causation=work.causation_id,
            correlation=work.correlation_id,
        )
        told = (answer.get("node_id"), answer.get("epoch"), answer.get("digest"))
        if told != (work.node_id, work.epoch, work.digest):
            raise StaleEpochError(f"build {work.build_id} is not what the log says: {told}")

    async def _perform(self, work: Work) -> None:
        """Fetch and run. Between acceptance and the first byte a cancel still withdraws it."""
        try:
            program = await self._fetch(work)
        except ImeweError as problem:
            await self._fail(work, problem)
            return
        try:
            async with asyncio.timeout(READY_S):
                await self._session.ready()
            await self._session.perform(
                work, program, wanted=lambda: work.build_id not in self._withdrawn
            )
        except WithdrawnError:
            await self._withdraw(work)
        except TimeoutError:
            await self._fail(work, MachineBusyError(f"the machine is {self._session.state}"))
        except DeviceError as problem:
            await self._fail(work, problem)
        finally:
            program.unlink(missing_ok=True)

    async def _fetch(self, work: Work) -> Path:
        """The G-code in a file of ours, its digest checked."""
        for attempt in range(FETCH_TRIES):
            try:
                return await self._download(work)
            except UnavailableError:
                if attempt + 1 == FETCH_TRIES:
                    raise
                await asyncio.sleep(BUSY_RETRY_S)
        raise UnavailableError("the artifact cannot be fetched")

    def _demand_room(self, work: Work) -> None:
        """Work that finds no room stays on the queue; in time the core gives it to another."""
        self._spool.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self._spool).free < RESERVE + work.size:
            raise StorageFullError(
                "the bridge's disk is full; no new work is taken",
                remedy=f"free some space below {self._spool.parent}",
            )

    async def _download(self, work: Work) -> Path:
        self._demand_room(work)
        path = self._spool / f"{work.build_id}.gcode"
        digest = hashlib.sha256()
        with path.open("wb") as file:
            async for chunk in self._artifacts.open(
                work.digest, organisation_id=work.organisation_id
            ):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != work.digest:
            path.unlink()
            raise UnavailableError(f"artifact {work.digest[:12]} arrived damaged")
        return path

    async def _fail(self, work: Work, problem: ImeweError) -> None:
        failure: dict[str, Any] = {
            "build_id": work.build_id,
            "reason": problem.code,
            "native_text": problem.message,
            **NO_FIGURES,
        }
        await self._journal.record(work, BuildState.FAILED, reports=(("FailBuild", failure),))
        self._courier.wake(self._node_id)

    async def _withdraw(self, work: Work) -> None:
        self._withdrawn.discard(work.build_id)
        cancelled = ("ConfirmCancelled", {"build_id": work.build_id, **NO_FIGURES})
        await self._journal.record(work, BuildState.CANCELLED, reports=(cancelled,))
        self._courier.wake(self._node_id)

    async def request(self, verb: str, build_id: str) -> None:
        """``pause``, ``resume`` or ``cancel`` of a build. Raises ``MachineBusyError``."""
        entry = await self._journal.entry(build_id)
        if verb == "cancel" and entry is not None and entry.state is BuildState.ACCEPTED:
            self._withdrawn.add(build_id)
            self._session.withdraw(build_id)
            return
        verbs = {
            "pause": self._session.pause,
            "resume": self._session.resume,
            "cancel": self._session.cancel,
        }
        if verb not in verbs:
            raise InvalidInputError(f"unknown request {verb[:40]}", field="verb")
        await verbs[verb](build_id)

    async def attend(self, word: Word) -> bool:
        """A person's word; False when it was obeyed before.

        Raises ``NotFoundError``, ``ConflictError`` when the build ended otherwise, ``DeviceError``.
        """
        entry = await self._journal.entry(word.build_id)
        if entry is None or entry.work.node_id != self._node_id:
            raise NotFoundError(f"this machine has no build {word.build_id}", field="build_id")
        if entry.state in ENDS.get(word.said, ()):
            return False
        if not entry.state.open:
            raise ConflictError(f"build {word.build_id} is {entry.state} already")
        await self._session.attend(word)
        return True

    async def _obey(self, work: Work) -> None:
        try:
            await self.request(work.command, work.build_id)
        except DeviceError as problem:
            self._log.warning("request_refused", verb=work.command, problem=problem.message)
