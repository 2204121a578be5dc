"""Real bridges on played ports: dispatcher, session, outbox and the journal on SQLite."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from commands.principal import Principal
from device_bridge.dispatcher import Dispatcher
from device_bridge.energy import EnergyCount
from device_bridge.journal import Journal
from device_bridge.outbox import Courier
from device_bridge.safety.latches import Latches
from device_bridge.safety.policy import SafetyPolicy
from device_bridge.safety.watch import Watch
from device_bridge.session import Session
from device_bridge.telemetry.outbox import TelemetryOutbox
from device_bridge.telemetry.sampler import Sampler
from domain.shared.errors import UnavailableError
from ops.clock import SystemClock
from tests.simulation.devices import Device, FollowingDriver, ScriptedDriver
from tests.simulation.loop import LIFE, Life
from tests.simulation.players import PROGRAM
from tests.simulation.shop import BRIDGE

if TYPE_CHECKING:
    from tests.simulation.bridge_world import World

Result = TypeVar("Result")


class MortalJournal(Journal):
    """The real journal; a dead bridge writes nothing into it."""

    def __init__(self, path: Path, life: Life) -> None:
        super().__init__(path, clock=SystemClock())
        self._life = life

    async def _run(self, step: Callable[[sqlite3.Connection], Result]) -> Result:
        self._life.demand_alive()
        result = await super()._run(step)
        self._life.demand_alive()
        return result

    def let_go(self) -> None:
        """What the operating system does for a dead process."""
        self._thread.shutdown()
        if self._db is not None:
            self._db.close()


class Bridge(Life):
    """One life of a bridge on a folder, put together as ``device_bridge.agent`` does."""

    def __init__(self, world: "World", folder: Path, principal: Principal) -> None:
        super().__init__()
        self.world = world
        self.principal = principal
        self._folder = folder
        self.journal = MortalJournal(folder / "journal.db", self)
        self._latches = Latches(folder / "stopped", clock=SystemClock())
        self._courier = Courier(self.journal, self, refused=lambda *_: None)
        self._readings = TelemetryOutbox(folder / "telemetry.db")
        self.sessions: dict[str, Session] = {}
        self.dispatchers: dict[str, Dispatcher] = {}

    async def run(self) -> None:
        """Work until killed."""
        LIFE.set(self)
        await self.journal.open()
        async with asyncio.TaskGroup() as group:
            for device in self.world.devices.values():
                for job in self._attach(device):
                    group.create_task(job)

    def kill(self) -> None:
        super().kill()
        self.journal.let_go()
        self._latches.close()
        for device in self.world.devices.values():
            if device.held_by is self:
                device.lose()

    def _attach(self, device: Device) -> list[Any]:
        world = self.world
        kind = FollowingDriver if device.alone else ScriptedDriver
        driver = kind(device, self, world.chance)
        sampler = Sampler(device.node_id, outbox=self._readings, feed=self, clock=SystemClock())
        session = Session(
            device.node_id,
            driver,
            journal=self.journal,
            courier=self._courier,
            sampler=sampler,
            energy=EnergyCount(None, sampler.take),
            virtual=True,
            latches=self._latches,
            raw_stop=None,
            watch=Watch(
                policy=SafetyPolicy,
                stalls=False,
                acts=True,
                deed=lambda: None,
                announce=self._announce,
            ),
        )
        dispatcher = Dispatcher(
            session,
            queue=self,
            commands=self,
            artifacts=self,
            journal=self.journal,
            courier=self._courier,
            spool=self._folder / f"spool-{id(self)}",
        )
        self.sessions[device.node_id] = session
        self.dispatchers[device.node_id] = dispatcher
        return [session.run(), dispatcher.run(), self._courier.run(device.node_id)]

    async def _announce(self) -> None:
        await self.world.wait()

    async def publish(self, node_id: str, columns: dict[str, Any]) -> None:
        """``TelemetryFeed``"""

    async def send(
        self,
        name: str,
        payload: dict[str, Any],
        *,
        command_id: str,
        causation: str = "",
        correlation: str = "",
    ) -> dict[str, Any]:
        """``CommandPort``: requests and answers are lost, late and doubled."""
        self.demand_alive()
        world, loop = self.world, asyncio.get_running_loop()
        answer: asyncio.Future[dict[str, Any]] = loop.create_future()

        def arrives() -> None:
            world.obey(self.principal, name, payload, command_id, answer)

        for _ in range(world.chance.choices((0, 1, 2), (world.lossy, 1.0, world.lossy))[0]):
            world.on_the_way = max(world.on_the_way + 1e-6, loop.time() + world.latency())
            loop.call_at(world.on_the_way, arrives)  # in order, as one connection carries them
        try:
            async with asyncio.timeout(5):
                told = await answer
        except TimeoutError as problem:
            raise UnavailableError("no answer") from problem
        self.demand_alive()
        return told

    async def pull(self, node_id: str) -> "Item":
        """``WorkQueue``"""
        while True:
            await self.world.wait()
            self.demand_alive()
            waiting = [w for w in self.world.runner.work if w.message["node_id"] == node_id]
            if waiting and self.world.chance.random() < 0.7:
                return Item(self, self.world.chance.choice(waiting).message)
            await asyncio.sleep(self.world.chance.uniform(0.1, 2))

    async def open(self, digest: str, *, organisation_id: str) -> AsyncIterator[bytes]:
        """``ArtifactStore``"""
        await self.world.wait()
        if self.world.chance.random() < self.world.lossy:
            raise UnavailableError("the store does not answer")
        yield PROGRAM


@dataclass
class Item:
    """``WorkItem``; an acknowledgement may be lost."""

    bridge: Bridge
    message: dict[str, Any]

    @property
    def body(self) -> bytes:
        return json.dumps(self.message).encode()

    async def acknowledge(self) -> None:
        world = self.bridge.world
        await world.wait()
        self.bridge.demand_alive()
        if world.chance.random() > world.lossy and self.bridge.principal == BRIDGE:
            world.runner.work = [w for w in world.runner.work if w.message is not self.message]
        await world.wait()

    async def retry(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
