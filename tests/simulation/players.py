"""Who acts on the shop: customers, operators, machines with their bridges, and bad luck."""

from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from typing import Any

from commands.builds.messages import (
    AcceptBuild,
    ConfirmCancelled,
    FailBuild,
    FinishBuild,
    ReportOutcomeUnknown,
    ReportPaused,
    ReportProgress,
    ReportResumed,
    StartBuild,
)
from commands.inventories.messages import ReceiveMaterial
from commands.jobs.messages import CancelJob, PartOrder, ReprioritizeJob, SubmitJob
from commands.nodes.messages import (
    ClearBed,
    ClearEmergencyStop,
    ConfigureNode,
    ConnectMachine,
    DisconnectMachine,
    PauseNode,
    RecordEmergencyStop,
    RegisterNode,
    ResumeNode,
)
from commands.parts.messages import (
    ArtifactField,
    PassPiece,
    Reason,
    RejectPart,
    ScrapPiece,
    ValidatePart,
)
from commands.principal import Principal
from domain.inventory.aggregate import Inventory
from domain.job.aggregate import Job
from domain.node.aggregate import Node
from domain.part.aggregate import Part
from domain.part.states import PieceStatus
from domain.shared.errors import ImeweError
from tests.simulation.shop import BRIDGE, PERSON, SERVICE, Log, Runner

MATERIALS = ("PLA", "PETG")
PROGRAM = b"G21\nG90\nG28\nG1 X10 Y10 Z1 F600\n"
DIGEST = sha256(PROGRAM).hexdigest()
FIGURES = {
    "duration_ms": 60_000,
    "energy_j": 5_000,
    "energy_source": "virtual meter",
    "material_mm3": 900,
}


@dataclass
class Machine:
    """The physical truth, which no message can change after the fact."""

    node_id: str
    on_bed: str = ""
    running: str = ""
    paused: bool = False
    journal: set[str] = field(default_factory=set)


class Players:
    """Every method is one thing that somebody may do; each is harmless when it does not fit."""

    def __init__(self, log: Log, runner: Runner) -> None:
        self.log = log
        self.runner = runner
        self.chance = runner.chance
        self.machines: dict[str, Machine] = {}
        self.starts: dict[str, int] = {}
        self._number = count()

    def do(self, command: Any, *, by: Principal) -> bool:
        """Send a command; false when it was refused."""
        try:
            self.log.obey(command, by=by, command_id=f"{next(self._number)}")
        except ImeweError:
            return False
        return True

    def open_shop(self) -> None:
        """Nodes of two sizes, each with a lot of every material it prints."""
        for number in range(self.chance.randint(1, 4)):
            self.do(RegisterNode(name=f"printer {number}", virtual=True), by=PERSON)
            node = self.log.all(Node)[-1]
            node_id = str(node.id)
            self.machines[node_id] = Machine(node_id)
            side = 200.0 if number % 2 else 300.0
            profile = {
                "process": "fdm",
                "materials": list(MATERIALS),
                "max_size": {"x": side, "y": side, "z": side},
                "inspection": self.chance.choice(("person", "automatic")),
            }
            self.do(ConfigureNode(node_id=node_id, profile=profile), by=PERSON)
            self.do(ConnectMachine(node_id=node_id, identity={"firmware": "Marlin"}), by=BRIDGE)
            for material in MATERIALS:
                receive = ReceiveMaterial(
                    node_id=node_id, material=material, lot="1", quantity_mg=20_000
                )
                self.do(receive, by=PERSON)
            self.do(ClearBed(node_id=node_id, by="anna"), by=PERSON)

    def submit(self) -> None:
        parts = [
            PartOrder(
                name=f"part {line}",
                artifact_digest="f" * 64,
                material=self.chance.choice(MATERIALS),
                quantity=self.chance.randint(1, 3),
            )
            for line in range(self.chance.randint(1, 3))
        ]
        priority = self.chance.randint(1, 10)
        self.do(SubmitJob(name="job", parts=parts, priority=priority), by=PERSON)

    def cancel(self) -> None:
        if jobs := self.log.all(Job):
            self.do(CancelJob(job_id=str(self.chance.choice(jobs).id)), by=PERSON)

    def reprioritize(self) -> None:
        if jobs := self.log.all(Job):
            job_id = str(self.chance.choice(jobs).id)
            priority = self.chance.randint(1, 10)
            self.do(ReprioritizeJob(job_id=job_id, priority=priority), by=PERSON)

    def assess(self) -> None:
        """What the assessing worker does for a part that waits for it."""
        waiting = list(self.runner.processes.fleet.unassessed)
        if not waiting:
            return
        part_id = self.chance.choice(waiting)
        if self.chance.random() < 0.05:
            reason = Reason(code="TOO_LARGE", message="too large", remedy="split it")
            self.do(RejectPart(part_id=part_id, reasons=[reason]), by=SERVICE)
            return
        side = self.chance.choice((50.0, 250.0))
        validate = ValidatePart(
            part_id=part_id,
            process="fdm",
            program=ArtifactField(digest=DIGEST, size=len(PROGRAM), format="gcode", name="a.gcode"),
            size_mm=[side, side, 10.0],
            reach_mm=[side, side, 10.0],
            nozzle_c=215,
            bed_c=60,
            duration_ms=60_000,
            material_mm3=1000,
            material_mg=1240,
            estimated_by="simulation",
        )
        self.do(validate, by=SERVICE)

    def deliver(self) -> None:
        """A bridge takes a work message; the same one may come again."""
        if not self.runner.work:
            return
        message = self.chance.choice(self.runner.work).message
        if self.chance.random() < 0.7:
            self.runner.work = [w for w in self.runner.work if w.message is not message]
        machine = self.machines[message["node_id"]]
        build_id, epoch = message["build_id"], message["epoch"]
        if build_id in machine.journal or machine.running:
            return
        machine.journal.add(build_id)
        accept = AcceptBuild(build_id=build_id, node_id=machine.node_id, epoch=epoch)
        if not self.do(accept, by=BRIDGE):
            return
        if self.chance.random() < 0.1:
            self.do(FailBuild(build_id=build_id, reason="no such file"), by=BRIDGE)
            return
        self._begin(machine, build_id, epoch)

    def _begin(self, machine: Machine, build_id: str, epoch: int) -> None:
        assert not machine.on_bed, "a machine began on a bed that was not clear"
        assert not machine.running, "a machine began a second build"
        machine.running = machine.on_bed = build_id
        machine.paused = False
        self.starts[build_id] = self.starts.get(build_id, 0) + 1
        self.do(StartBuild(build_id=build_id, epoch=epoch), by=BRIDGE)

    def run_on(self) -> None:
        """A machine goes on with its build, or ends it."""
        busy = [m for m in self.machines.values() if m.running and not m.paused]
        if not busy:
            return
        machine = self.chance.choice(busy)
        build_id, fate = machine.running, self.chance.random()
        if fate < 0.4:
            report: Any = ReportProgress(build_id=build_id, percent=self.chance.randint(1, 99))
        elif fate < 0.8 or not self.runner.lossy:
            report = FinishBuild(build_id=build_id, **FIGURES, material_mg=1100)
            machine.running = ""
        elif fate < 0.92:
            report = FailBuild(build_id=build_id, reason="thermal", **FIGURES, material_mg=300)
            machine.running = ""
        else:
            report = ReportOutcomeUnknown(build_id=build_id, reason="unplugged", facts={})
            machine.running = ""
            self.do(DisconnectMachine(node_id=machine.node_id, reason="unplugged"), by=BRIDGE)
        self.do(report, by=BRIDGE)

    def answer(self) -> None:
        """A bridge hears what the processes ask of it."""
        if not self.runner.asked:
            return
        ask = self.runner.asked.pop(0)
        machine = self.machines[ask.node_id]
        if machine.running != ask.build_id:
            return
        if ask.verb == "cancel":
            machine.running = ""
            confirm = ConfirmCancelled(build_id=ask.build_id, **FIGURES, material_mg=500)
            self.do(confirm, by=BRIDGE)
        elif ask.verb == "pause" and not machine.paused:
            machine.paused = True
            self.do(ReportPaused(build_id=ask.build_id), by=BRIDGE)
        elif ask.verb == "resume" and machine.paused:
            machine.paused = False
            self.do(ReportResumed(build_id=ask.build_id), by=BRIDGE)

    def connect(self) -> None:
        for node in self.log.all(Node):
            if not node.connected:
                identity = {"firmware": "Marlin"}
                self.do(ConnectMachine(node_id=str(node.id), identity=identity), by=BRIDGE)

    def clear_beds(self) -> None:
        """A person takes things off beds, but never off a machine that works."""
        for machine in self.machines.values():
            node = next(n for n in self.log.all(Node) if str(n.id) == machine.node_id)
            if machine.running or node.bed_clear:
                continue
            if self.do(ClearBed(node_id=machine.node_id, by="anna"), by=PERSON):
                machine.on_bed = ""

    def inspect(self) -> None:
        for part in self.log.all(Part):
            for piece, status in enumerate(part.pieces):
                if status == PieceStatus.TO_INSPECT:
                    self._judge(str(part.id), piece)

    def scrap_running(self) -> None:
        """A person gives a piece up while its machine still works."""
        for part in self.log.all(Part):
            for piece, status in enumerate(part.pieces):
                if status in {PieceStatus.RUNNING, PieceStatus.QUEUED}:
                    scrap = ScrapPiece(part_id=str(part.id), piece=piece, reason="spaghetti")
                    self.do(scrap, by=PERSON)
                    return

    def _judge(self, part_id: str, piece: int) -> None:
        if self.chance.random() < (0.2 if self.runner.lossy else 0.0):
            self.do(ScrapPiece(part_id=part_id, piece=piece, reason="warped"), by=PERSON)
        else:
            self.do(PassPiece(part_id=part_id, piece=piece), by=PERSON)

    def hold(self) -> None:
        node_id = self.chance.choice(list(self.machines))
        self.do(PauseNode(node_id=node_id, reason="lunch"), by=PERSON)

    def resume(self) -> None:
        for node_id in self.machines:
            self.do(ResumeNode(node_id=node_id), by=PERSON)

    def emergency(self) -> None:
        machine = self.chance.choice(list(self.machines.values()))
        stop = RecordEmergencyStop(node_id=machine.node_id, stopped_by="anna", latency_ms=3)
        self.do(stop, by=BRIDGE)
        if machine.running:
            build_id, machine.running = machine.running, ""
            self.do(
                FailBuild(build_id=build_id, reason="stop", **FIGURES, material_mg=1), by=BRIDGE
            )

    def clear_stops(self) -> None:
        for node_id in self.machines:
            self.do(ClearEmergencyStop(node_id=node_id), by=PERSON)

    def receive(self) -> None:
        """Refill what runs low."""
        low = {
            (lot.node_id, lot.material)
            for lot in self.log.all(Inventory)
            if lot.accounts["free"] < 3_000
        }
        for node_id in self.machines:
            for material in [m for m in MATERIALS if (node_id, m) in low]:
                receive = ReceiveMaterial(
                    node_id=node_id, material=material, lot="1", quantity_mg=5_000
                )
                self.do(receive, by=PERSON)
