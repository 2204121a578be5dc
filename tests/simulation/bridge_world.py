"""A simulated shop whose bridges are real. Core, people, machines and the network are played; a
bridge is killed between any two steps.
"""

import asyncio
import contextlib
import copy
import json
import random
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from commands.handling import HANDLERS
from commands.message import parse
from commands.nodes.messages import ClearBed
from commands.principal import Principal
from commands.processes.progress import Progress
from domain.shared.errors import ForbiddenError, ImeweError
from tests.simulation.bridges import Bridge
from tests.simulation.devices import Device
from tests.simulation.loop import SimulatedLoop
from tests.simulation.players import Players
from tests.simulation.shop import BRIDGE, PERSON, Log, Runner

OTHER = Principal(kind="bridge", id="other")


class World:
    """One shop, its machines and the bridges that came and went."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.chance = random.Random(seed)
        self.loop = SimulatedLoop(self.chance)
        self.log = Log()
        self.runner = Runner(self.log, self.chance)
        self.players = Players(self.log, self.runner)
        self.devices: dict[str, Device] = {}
        self.lossy = 0.15
        self.on_the_way = 0.0
        self.down = False
        self.restored = 0
        self.kills = 0
        self.archive: list[Any] = []
        self.backup: tuple[Any, ...] = ()
        self._folder = folder
        self._bridges: list[Bridge] = []

    def open(self) -> None:
        """Machines of both kinds, and some work."""
        self.players.open_shop()
        for node_id in self.players.machines:
            chance = random.Random(self.chance.random())
            alone = self.chance.random() < 0.3
            self.devices[node_id] = Device(node_id, chance=chance, alone=alone)
        self.players.machines = dict(self.devices)
        for _ in range(self.chance.randint(1, 3)):
            self.players.submit()

    async def wait(self) -> None:
        """Some way over a network."""
        await asyncio.sleep(self.latency())

    def latency(self) -> float:
        """Mostly short, at times longer than anybody waits."""
        return self.chance.choice((0.0, 0.001, 0.05)) if self.chance.random() < 0.97 else 7.0

    def obey(
        self,
        by: Principal,
        name: str,
        payload: dict[str, Any],
        command_id: str,
        answer: "asyncio.Future[dict[str, Any]]",
    ) -> None:
        """A request reaches the core; nobody may hear the answer."""
        if self.down:
            return
        try:
            if by != BRIDGE:
                raise ForbiddenError("another bridge drives this machine")
            command = parse(name, json.dumps(payload).encode())
            aggregate = self.log.obey(command, by=by, command_id=command_id)
            told = {"position": 1, **HANDLERS[name].tell(aggregate)}
        except ImeweError as refusal:
            if not answer.done():
                answer.set_exception(refusal)
            return
        if not answer.done() and self.chance.random() > self.lossy:
            answer.set_result(told)

    @property
    def bridge(self) -> Bridge | None:
        """The one that the core knows, if it lives."""
        living = [b for b in self._bridges if not b.dead and b.principal == BRIDGE]
        return living[0] if living else None

    def start(self, principal: Principal = BRIDGE) -> None:
        """A bridge begins on what its earlier lives left behind; one home holds one bridge."""
        if any(not b.dead and b.principal == principal for b in self._bridges):
            return
        folder = self._folder / principal.id
        folder.mkdir(exist_ok=True)
        bridge = Bridge(self, folder, principal)
        self._bridges.append(bridge)
        task = self.loop.create_task(bridge.run())
        bridge.belongs(task)
        task.add_done_callback(_broke)

    def kill(self, principal: Principal = BRIDGE) -> None:
        """``kill -9`` of a bridge."""
        for bridge in self._bridges:
            if not bridge.dead and bridge.principal == principal:
                bridge.kill()
                self.kills += 1

    def begin(self, work: Callable[[], Awaitable[Any]]) -> None:
        """Something that is done to a bridge from outside, in its life."""
        task = self.loop.create_task(_quietly(work))
        if self.bridge is not None:
            self.bridge.belongs(task)

    def post_again(self) -> None:
        """An old message comes late."""
        known = {id(w) for w in self.archive}
        self.archive += [w for w in self.runner.work if id(w) not in known]
        if self.archive:
            self.runner.work.append(self.chance.choice(self.archive))

    def answer(self) -> None:
        """The core asks the bridge to pause, resume or cancel."""
        if self.runner.asked:
            ask = self.runner.asked.pop(0)
            if self.bridge and ask.node_id in self.bridge.dispatchers:
                dispatcher = self.bridge.dispatchers[ask.node_id]
                self.begin(lambda: dispatcher.request(ask.verb, ask.build_id))

    def unplug(self) -> None:
        """The cable of a machine is pulled, or put back."""
        device = self.chance.choice(list(self.devices.values()))
        device.unplugged = not device.unplugged
        if device.unplugged and device.driver is not None:
            device.driver.unplug()

    def emergency(self) -> None:
        """Somebody stops a machine."""
        if self.bridge and self.bridge.sessions:
            session = self.chance.choice(list(self.bridge.sessions.values()))
            self.begin(lambda: session.emergency_stop("user/anna"))

    def clear_faults(self) -> None:
        """A person has looked, and says so to bridge and core."""
        for session in self.bridge.sessions.values() if self.bridge else []:
            self.begin(partial(session.clear_fault, "user/anna"))
        self.players.clear_stops()

    def plug_in(self) -> None:
        """All cables are where they belong."""
        for device in self.devices.values():
            device.unplugged = False

    def back_up(self) -> None:
        """Keep what the core knows now."""
        self.backup = copy.deepcopy((self.log.events, self.log.aggregates))

    async def restore(self) -> None:
        """The core of the backup; people looked at every machine before, as the handbook says."""
        if not self.backup:
            return
        self.down = True
        at_rest = 0
        while at_rest < 100:
            await asyncio.sleep(1)
            for device in self.devices.values():
                device.paused = False
            at_rest = 0 if any(d.running for d in self.devices.values()) else at_rest + 1
        self.log.events, self.log.aggregates = copy.deepcopy(self.backup)
        self.runner.progress = Progress(0)
        self.runner.crash()
        for device in self.devices.values():
            device.on_bed = ""
            self.players.do(ClearBed(node_id=device.node_id, by="anna"), by=PERSON)
        self.restored += 1
        self.down = False

    def close(self) -> None:
        """Nothing of it is left."""
        for bridge in self._bridges:
            if not bridge.dead:
                bridge.kill()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        self.loop.close()


def _broke(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (problem := task.exception()) is not None:
        task.get_loop().call_exception_handler({"message": "bridge", "exception": problem})


async def _quietly(work: Callable[[], Awaitable[Any]]) -> None:
    with contextlib.suppress(ImeweError, TimeoutError):
        await work()
