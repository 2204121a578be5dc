"""Events in, exactly these requests out: process managers over the real write side, in memory.

Commands are obeyed one at a time by the real handlers, and each event goes to the processes, whose
requests are returned and not carried out.
"""

from itertools import count
from typing import Any

from commands.inventories.messages import ReceiveMaterial
from commands.jobs.messages import PartOrder, SubmitJob
from commands.nodes.messages import ClearBed, ConfigureNode, ConnectMachine, RegisterNode
from commands.parts.messages import ArtifactField, ValidatePart
from commands.principal import Principal
from commands.processes.outputs import Output, Send
from commands.processes.runner import Processes
from tests.simulation.shop import BRIDGE, PERSON, SERVICE, Log

PROFILE: dict[str, Any] = {
    "process": "fdm",
    "materials": ["PLA"],
    "max_size": {"x": 200.0, "y": 200.0, "z": 200.0},
}
PROGRAM = ArtifactField(digest="a" * 64, size=10, format="gcode", name="a.gcode")
FIGURES = {
    "duration_ms": 60_000,
    "energy_j": 5_000,
    "energy_source": "virtual meter",
    "material_mm3": 900,
}


class Steps:
    """A shop whose processes are asked after every event and obeyed only when the test says so."""

    def __init__(self) -> None:
        self.log = Log()
        self.processes = Processes()
        self._number = count()

    def when(self, command: Any, *, by: Principal = SERVICE) -> list[Output]:
        """Obey a command; what the processes ask for after its events."""
        aggregate = self.log.obey(command, by=by, command_id=f"steps-{next(self._number)}")
        self.last_id = str(aggregate.id)
        position = self.processes.fleet.position
        return [out for event in self.log.events[position:] for out in self.processes.step(event)]

    def follow(self, command: Any, *, by: Principal = SERVICE, until: str = "") -> list[Output]:
        """The same, and obey what is asked for, on and on, up to a command named ``until``."""
        outputs = self.when(command, by=by)
        while sends := [out for out in outputs if isinstance(out, Send) and out.name != until]:
            send = sends[0]
            outputs.remove(send)
            outputs += self.when(send.command)
        return outputs

    def printer(self, name: str = "one", **profile: Any) -> str:
        """A virtual printer that is ready, with 20 g of PLA."""
        self.when(RegisterNode(name=name, virtual=True), by=PERSON)
        node_id = self.last_id
        self.when(ConfigureNode(node_id=node_id, profile={**PROFILE, **profile}), by=PERSON)
        self.when(ConnectMachine(node_id=node_id, identity={"firmware": "Marlin"}), by=BRIDGE)
        receive = ReceiveMaterial(node_id=node_id, material="PLA", lot="1", quantity_mg=20_000)
        self.when(receive, by=PERSON)
        self.when(ClearBed(node_id=node_id, by="anna"), by=PERSON)
        return node_id

    def ordered(self, *, quantity: int = 1, priority: int = 5) -> tuple[str, str]:
        """A job of one part, ordered; the ids of both."""
        part = PartOrder(name="cube", artifact_digest="f" * 64, material="PLA", quantity=quantity)
        self.follow(SubmitJob(name="cubes", parts=[part], priority=priority), by=PERSON)
        job = next(e for e in reversed(self.log.events) if e.topic == "imewe.job:Submitted")
        return str(job.aggregate_id), job.event.parts[0]["part_id"]

    def sent(self, *, quantity: int = 1) -> tuple[str, str, str]:
        """A job whose pieces were brought as far as the free nodes allow: job, part, a build."""
        job_id, part_id = self.ordered(quantity=quantity)
        self.follow(validation(part_id))
        return job_id, part_id, next(reversed(self.processes.fleet.builds))


def validation(part_id: str, *, side: float = 50.0) -> ValidatePart:
    """What the bench says of a part that can be printed."""
    return ValidatePart(
        part_id=part_id,
        process="fdm",
        program=PROGRAM,
        size_mm=[side, side, 10.0],
        reach_mm=[side, side, 10.0],
        nozzle_c=210,
        bed_c=60,
        duration_ms=60_000,
        material_mm3=1000,
        material_mg=1240,
        estimated_by="test",
    )


def commands(outputs: list[Output]) -> list[Any]:
    """The commands among what is asked for."""
    return [out.command for out in outputs if isinstance(out, Send)]


def others(outputs: list[Output]) -> list[Output]:
    """What is no command."""
    return [out for out in outputs if not isinstance(out, Send)]
