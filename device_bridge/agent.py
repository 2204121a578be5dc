"""The bridge itself: every machine of one place, kept connected and at work."""

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Any

import structlog

from device_bridge.attending import parse_word
from device_bridge.dispatcher import Dispatcher
from device_bridge.drivers.catalogue import OWN_FOLDER, driver_for, driver_named
from device_bridge.energy import EnergyCount
from device_bridge.errors import DeviceError, SilentDeviceError
from device_bridge.journal import Journal, Report
from device_bridge.machines import MachineConfig, meter_for, read_machines
from device_bridge.outbox import Courier
from device_bridge.protocols import DeviceDriver, WorkQueue
from device_bridge.safety.by_hand import has_bare_port, is_fed, raw_stop
from device_bridge.safety.desk import ALL, open_desk
from device_bridge.safety.latches import FOLDER, Latches
from device_bridge.safety.policy import FILE as POLICIES
from device_bridge.safety.policy import PolicyFile
from device_bridge.safety.warden import AtWork, NoWarden, Warden
from device_bridge.safety.watch import Watch
from device_bridge.session import Session
from device_bridge.telemetry.economy import Economy
from device_bridge.telemetry.outbox import TelemetryOutbox
from device_bridge.telemetry.sampler import Sampler
from domain.ports import ArtifactStore, Clock, CommandPort, TelemetryFeed
from domain.shared.errors import ImeweError, InvalidInputError, NotFoundError

HEARTBEAT_S = 5.0
BEAT_S = 2.0
LOOK_S = 1.0
Heartbeat = Callable[[dict[str, Any]], Awaitable[None]]


class Place:
    """One machine with everything that works for it."""

    def __init__(self, session: Session, dispatcher: Dispatcher, tasks: list[asyncio.Task[None]]):
        self.session = session
        self.dispatcher = dispatcher
        self.tasks = tasks


class Agent:
    """One bridge. Machines come from ``folder/machines.json``, looked at every second; the journal
    and the spool of programs lie in ``folder/bridge``."""

    def __init__(
        self,
        bridge_id: str,
        folder: Path,
        *,
        queue: WorkQueue,
        commands: CommandPort,
        artifacts: ArtifactStore,
        feed: TelemetryFeed,
        clock: Clock,
        heartbeat: Heartbeat,
        warden: Warden | None = None,
    ) -> None:
        self._bridge_id = bridge_id
        self._machines = folder / "machines.json"
        self._own_drivers = folder / OWN_FOLDER
        self._spool = folder / "bridge" / "spool"
        self._queue = queue
        self._commands = commands
        self._artifacts = artifacts
        self._feed = feed
        self._clock = clock
        self._heartbeat = heartbeat
        self._journal = Journal(folder / "bridge" / "journal.db", clock=clock)
        self._courier = Courier(self._journal, commands, refused=self._refused)
        self._readings = TelemetryOutbox(folder / "bridge" / "telemetry.db")
        self._warden = warden or NoWarden()
        self._policies = PolicyFile(folder / POLICIES)
        self._latches = Latches(folder / "bridge" / FOLDER, clock=clock)
        self._places: dict[str, Place] = {}
        self._configs: dict[str, MachineConfig] = {}
        self._requests: set[asyncio.Task[None]] = set()
        self._read_at = 0.0
        self._kept: set[str] = set()
        self._beats = 0
        self._log = structlog.get_logger("bridge").bind(bridge_id=bridge_id)

    async def run(self) -> None:
        """Work until cancelled; then every port is given back, the machines left as they are."""
        await self._journal.open()
        await self._readings.open(self._journal.bridge_epoch)
        if forgotten := await self._journal.prune():
            self._log.info("old_builds_forgotten", builds=forgotten)
        shutil.rmtree(self._spool, ignore_errors=True)  # programs of an earlier life
        try:
            async with open_desk(self._spool.parent, self.stop_here):
                await self._work()
        finally:
            await self._warden.tell(self._at_work())  # who leaves now leaves nobody alone
            for node_id in list(self._places):
                await self._drop(node_id)
            await self._warden.farewell()
            await self._readings.close()
            await self._journal.close()
            self._latches.close()

    async def _work(self) -> None:
        beat_at = 0.0
        while True:
            self._policies.look()
            await self._look_at_machines()
            self._check()
            await self._warden.tell(self._at_work())
            if monotonic() >= beat_at:
                beat_at = monotonic() + HEARTBEAT_S
                await self._beat()
            await asyncio.sleep(LOOK_S)

    async def control(self, verb: str, request: dict[str, Any]) -> dict[str, Any]:
        """A request of the core about one machine; refusals come back as ``error``.

        ``pause``, ``resume``, ``cancel`` need ``build_id``; ``clear_fault`` needs ``operator``
        and leaves an emergency stop latched with ``keep_stop``; ``calibrate`` needs a ``routine``
        (home, level); ``status`` only asks. The answer says that the request was taken; its
        effect is reported as a command. ``clear_fault`` answers when the machine has.
        ``attend`` takes a person's word (``parse_word``); ``tasks`` lists what waits for people.
        """
        if verb == "tasks":
            return {"ok": True, "tasks": self._tasks()}
        try:
            place = self._place(str(request.get("node_id", "")))
            if verb == "clear_fault":
                await place.session.clear_fault(
                    str(request.get("operator", "")), keep_stop=request.get("keep_stop") is True
                )
            elif verb == "attend":
                fresh = await place.dispatcher.attend(parse_word(request))
                return {"ok": True, **self._state(place), "fresh": fresh}
            elif verb == "calibrate":
                await place.session.calibrate(str(request.get("routine", "")))
            elif verb != "status":
                self._begin(place, verb, str(request.get("build_id", "")))
        except ImeweError as problem:
            return _refusal(problem)
        except TimeoutError:
            return _refusal(SilentDeviceError("the machine does not answer"))
        return {"ok": True, **self._state(place)}

    async def emergency_stop(self, node_id: str, stopped_by: str) -> dict[str, Any]:
        """Stop one machine now; nothing queues before it."""
        try:
            place = self._place(node_id)
        except NotFoundError as problem:
            return _refusal(problem)
        receipt = await place.session.emergency_stop(stopped_by)
        self._log.warning("emergency_stop", node_id=node_id, **receipt.as_json())
        return {"ok": True, "node_id": node_id, **receipt.as_json()}

    async def stop_here(self, node_id: str, stopped_by: str) -> list[dict[str, Any]]:
        """Stop one machine, or ``all`` of them at once, and say of each what it answered."""
        nodes = list(self._places) if node_id == ALL else [node_id]
        return list(
            await asyncio.gather(*(self.emergency_stop(node, stopped_by) for node in nodes))
        )

    def _tasks(self) -> list[dict[str, Any]]:
        """What waits for people at the machines of this bridge."""
        tasks = (place.session.task() for place in self._places.values())
        return [task for task in tasks if task is not None]

    def _begin(self, place: Place, verb: str, build_id: str) -> None:
        if verb not in {"pause", "resume", "cancel"}:
            raise InvalidInputError(f"unknown request {verb[:40]}", field="verb")
        task = asyncio.get_running_loop().create_task(self._request(place, verb, build_id))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    async def _request(self, place: Place, verb: str, build_id: str) -> None:
        try:
            await place.dispatcher.request(verb, build_id)
        except (DeviceError, TimeoutError) as problem:
            self._log.warning("request_failed", verb=verb, build_id=build_id, problem=str(problem))

    def _refused(self, report: Report, problem: ImeweError) -> None:
        """The log does not let a build start that is on the machine: it must not go on."""
        place = self._places.get(report.node_id)
        if report.name == "StartBuild" and place is not None:
            with contextlib.suppress(DeviceError):
                self._begin(place, "cancel", str(report.payload["build_id"]))

    def _place(self, node_id: str) -> Place:
        if node_id not in self._places:
            raise NotFoundError(f"this bridge has no machine of node {node_id}", field="node_id")
        return self._places[node_id]

    def _at_work(self) -> list[AtWork]:
        """Machines that the watcher must bring to rest when this process is gone."""
        return [
            AtWork(machine=machine, policy=self._policies.of(node_id))
            for node_id, machine in self._configs.items()
            if has_bare_port(machine) and self._places[node_id].session.at_work
        ]

    async def _look_at_machines(self) -> None:
        changed = self._machines.stat().st_mtime if self._machines.exists() else 0.0
        if changed == self._read_at:
            return
        try:
            wanted = {machine.node_id: machine for machine in read_machines(self._machines)}
        except InvalidInputError as problem:
            self._log.error("machines_unreadable", problem=problem.message)
            return
        at_work = await self._drop_others_than(wanted)
        self._read_at = -1.0 if at_work else changed
        for node_id, config in wanted.items():
            if node_id not in self._places:
                try:
                    self._add(config, driver_for(config, self._own_drivers))
                except InvalidInputError as problem:
                    self._log.error("machine_unusable", name=config.name, problem=problem.message)

    async def _drop_others_than(self, wanted: dict[str, MachineConfig]) -> bool:
        """Let go of what is not wanted as it is; True when one must wait until it is at rest."""
        changed = [node for node, config in self._configs.items() if wanted.get(node) != config]
        busy = {node for node in changed if self._places[node].session.at_work}
        for node_id in busy - self._kept:
            self._log.warning("machine_kept_until_it_rests", node_id=node_id)
        self._kept = busy
        for node_id in set(changed) - busy:
            await self._drop(node_id)
        return bool(busy)

    def _add(self, machine: MachineConfig, driver: DeviceDriver) -> None:
        sampler = Sampler(
            machine.node_id,
            outbox=self._readings,
            feed=self._feed,
            clock=self._clock,
            economy=Economy(),
        )
        energy = EnergyCount(meter_for(machine), sampler.take)
        session = Session(
            machine.node_id,
            driver,
            journal=self._journal,
            courier=self._courier,
            sampler=sampler,
            energy=energy,
            virtual=machine.virtual,
            latches=self._latches,
            raw_stop=raw_stop(machine),
            watch=Watch(
                policy=lambda: self._policies.of(machine.node_id),
                stalls=is_fed(machine),
                acts=not driver_named(machine.dialect, self._own_drivers).read_only,
                deed=lambda: self._warden.deed(machine.node_id),
                announce=lambda: self._warden.tell(self._at_work()),
            ),
        )
        dispatcher = Dispatcher(
            session,
            queue=self._queue,
            commands=self._commands,
            artifacts=self._artifacts,
            journal=self._journal,
            courier=self._courier,
            spool=self._spool,
        )
        jobs = (
            session.run(),
            dispatcher.run(),
            self._courier.run(machine.node_id),
            sampler.run(),
            energy.run(),
        )
        tasks = [asyncio.get_running_loop().create_task(job) for job in jobs]
        self._configs[machine.node_id] = machine
        self._places[machine.node_id] = Place(session, dispatcher, tasks)
        self._tell_driver(machine)

    def _tell_driver(self, machine: MachineConfig) -> None:
        spec = driver_named(machine.dialect, self._own_drivers)
        proven = {"driver": spec.name, "quality": spec.quality}
        self._log.info("machine_added", name=machine.name, node_id=machine.node_id, **proven)
        if not spec.tried_on_hardware and not machine.virtual:
            self._log.warning("driver_never_tried_on_hardware", name=machine.name, **proven)

    def _check(self) -> None:
        """A task that broke ends the bridge: its restart probes and reports everything anew."""
        for place in self._places.values():
            for task in place.tasks:
                if task.done() and not task.cancelled():
                    task.result()

    async def _drop(self, node_id: str) -> None:
        place = self._places.pop(node_id)
        self._configs.pop(node_id)
        for task in place.tasks:
            task.cancel()
        await asyncio.gather(*place.tasks, return_exceptions=True)
        await place.session.close()

    async def _beat(self) -> None:
        self._beats += 1
        beat = {
            "bridge_id": self._bridge_id,
            "epoch": self._journal.bridge_epoch,
            "seq": self._beats,
            "at": self._clock.now().isoformat(timespec="milliseconds"),
            "nodes": [self._state(place) for place in self._places.values()],
        }
        with contextlib.suppress(ImeweError, TimeoutError, OSError):
            async with asyncio.timeout(BEAT_S):  # a link that hangs holds up no sign to the watcher
                await self._heartbeat(beat)

    def _state(self, place: Place) -> dict[str, Any]:
        session = place.session
        return {
            "node_id": session.node_id,
            "state": session.state,
            "build_id": session.build_id,
            **session.status.as_json(),
        }


def _refusal(problem: ImeweError) -> dict[str, Any]:
    told = {"code": problem.code, "message": problem.message, "remedy": problem.remedy}
    return {"ok": False, "error": told}
