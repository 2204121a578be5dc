"""A shop of virtual machines, each with a virtual meter and a virtual attendant.

``folder`` is ``home/run``: ports at ``dev/<name>`` and ``dev/<name>.meter``, what each machine
did in ``<name>.json``.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

import structlog

from device_bridge.machines import MachineConfig
from device_bridge.virtual.machine import MachinePlan, VirtualMachine
from device_bridge.virtual.meter import VirtualMeter
from domain.ports import CommandPort
from domain.shared.errors import ImeweError, InvalidInputError

PLANS = "virtual-shop.json"
"""In the home: the machines of its virtual shop."""
ATTENDANT = "virtual attendant"
CLEARING_S = 1.0
CLEARING_TRIES = 30


class VirtualAttendant:
    """Clears the bed of a machine after each program, as a person would, and says so.

    The bridge's own report of the end may still be on its way, so it asks a few times.
    """

    def __init__(self, commands: CommandPort, *, pause_s: float = CLEARING_S) -> None:
        self._commands = commands
        self._pause_s = pause_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("virtual.attendant")

    def program_ended(self, node_id: str) -> None:
        """A machine has finished a program."""
        task = asyncio.get_running_loop().create_task(self._clear(node_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Go home."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _clear(self, node_id: str) -> None:
        for _ in range(CLEARING_TRIES):
            await asyncio.sleep(self._pause_s)
            if await self._said_clear(node_id):
                break
        # A very short build may have been cleared before the core knew that it ran.
        await asyncio.sleep(5 * self._pause_s)
        await self._said_clear(node_id)

    async def _said_clear(self, node_id: str) -> bool:
        try:
            await self._commands.send(
                "ClearBed", {"node_id": node_id, "by": ATTENDANT}, command_id=str(uuid4())
            )
        except ImeweError as problem:
            self._log.info("bed_not_cleared_yet", node_id=node_id, problem=problem.message)
            return False
        self._log.info("bed_cleared", node_id=node_id)
        return True


class VirtualShop:
    """All virtual machines of one place."""

    def __init__(
        self, plans: list[MachinePlan], *, folder: Path, attendant: VirtualAttendant | None
    ) -> None:
        self.machines: list[VirtualMachine] = []
        self._meters: list[VirtualMeter] = []
        for plan in plans:
            machine = VirtualMachine(plan, folder=folder, ended=_calling(attendant, plan.node_id))
            self.machines.append(machine)
            path = machine.path.with_name(f"{plan.name}.meter")
            self._meters.append(VirtualMeter(path, machine.firmware.body))

    def start(self) -> None:
        """Plug everything in."""
        for machine, meter in zip(self.machines, self._meters, strict=True):
            machine.start()
            meter.start()

    def stop(self) -> None:
        """Switch everything off."""
        for machine, meter in zip(self.machines, self._meters, strict=True):
            machine.stop()
            meter.stop()


def configs(plans: list[MachinePlan], *, folder: Path) -> list[MachineConfig]:
    """What a bridge must know to reach these machines."""
    return [
        MachineConfig(
            node_id=plan.node_id,
            name=plan.name,
            dialect=plan.dialect,
            port=str(folder / "dev" / plan.name),
            meter=str(folder / "dev" / f"{plan.name}.meter"),
            virtual=True,
        )
        for plan in plans
    ]


def read_plans(path: Path) -> list[MachinePlan]:
    """The machines of a shop's file. Raises ``InvalidInputError``."""
    try:
        return [MachinePlan(**plan) for plan in json.loads(path.read_text())["machines"]]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise InvalidInputError(
            f"{path.name} cannot be read: {problem}",
            remedy=f"mend or move {path}; without one, imewe up --virtual-shop makes one",
        ) from problem


def write_plans(path: Path, plans: list[MachinePlan]) -> None:
    """Replace the file as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"machines": [asdict(plan) for plan in plans]}, indent=2))
    fresh.replace(path)


def _calling(attendant: VirtualAttendant | None, node_id: str) -> Callable[[], None]:
    if attendant is None or not node_id:
        return lambda: None
    return lambda: attendant.program_ended(node_id)
