"""The whole system, as `imewe up` runs it, with a small virtual shop: for tests that order parts,
kill programs and look at what is left."""

import contextlib
import json
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import psutil

from commands.tokens import Signer
from domain.shared.errors import ImeweError, UnavailableError
from ops.cli.client import Client
from ops.demo.scene import FILAMENT, PRINTER, Machine
from ops.demo.shop import furnish
from ops.demo.system import Running
from ops.hosting.children import Child, Program
from ops.hosting.units import service_command
from ops.keys import token_keys
from ops.settings import Settings
from ops.supervisor import SERVICES

T = TypeVar("T")

ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "REJECTED"})
PROGRAMS = ("nats", "postgres", *SERVICES)
"""Everything that the supervisor keeps running."""
PATIENCE_S = 90.0
PROBLEMS = "problems { code message field remedy }"
SUBMIT = f"""mutation($input: SubmitJobInput!, $commandId: ID) {{
  submitJob(input: $input, commandId: $commandId) {{ jobId position commandId {PROBLEMS} }} }}"""
CANCEL = f"""mutation($id: ID!, $commandId: ID) {{
  cancelJob(jobId: $id, commandId: $commandId) {{ jobId position commandId {PROBLEMS} }} }}"""
SCRAP = f"""mutation($id: ID!, $piece: Int!) {{ scrapPiece(partId: $id, piece: $piece,
  reason: "nobody saw it end") {{ partId position {PROBLEMS} }} }}"""
PASS = f"""mutation($id: ID!, $piece: Int!) {{ passPiece(partId: $id, piece: $piece) {{
  partId position {PROBLEMS} }} }}"""
CLEAR = f"mutation($id: ID!) {{ clearBed(nodeId: $id) {{ nodeId position {PROBLEMS} }} }}"
RECEIVE = f"""mutation($node: ID!, $material: String!, $lot: String!, $mg: Int53!,
    $commandId: ID) {{
  receiveMaterial(nodeId: $node, materialType: $material, lot: $lot, quantityMg: $mg,
    commandId: $commandId) {{ inventoryId position {PROBLEMS} }} }}"""
JOB = """query($id: ID!, $atLeast: Position) { job(id: $id, atLeast: $atLeast) {
  id status priority cancelRequested position
  parts { id name productionStatus quantity passed failure reasons { code message remedy }
    pieces { piece status buildId nodeId reason replacement }
    builds { id nodeId piece attempt status percent reason facts epoch passed } } } }"""
NODES = """{ nodes { edges { node { id name status virtual connected bedClear held epoch
  disconnectReason run { buildId } } } } }"""
LOTS = """{ inventory(first: 100) { edges { node { id nodeId materialType lot suppliedMg freeMg
  reservedMg consumedMg wastedMg inTransitMg adjustedMg } } } }"""


def printer(name: str, **how: Any) -> Machine:
    """A virtual printer; ``how``: ``faults`` as in ``device_bridge.virtual.faults``, or a changed
    ``profile``."""
    profile = {**PRINTER, "energyEfficiency": 0.5, **how.pop("profile", {})}
    return Machine(name=name, dialect="marlin", profile=profile, stock=FILAMENT, **how)


TWO_PRINTERS = (printer("virtual-printer-1"), printer("virtual-printer-2"))


def small_program(folder: Path, *, layers: int = 40, side: float = 40.0) -> Path:
    """A program that a virtual printer of the demo's speed works on for some seconds."""
    lines = ["; a hollow box, written by hand", "M140 S60", "M104 S210", "G21", "G90", "M82"]
    lines += ["G28", "M190 S60", "M109 S210", "G92 E0"]
    length = 0.0
    for layer in range(1, layers + 1):
        lines.append(f"G1 Z{layer * 0.2:.2f} F600")
        for x, y in ((0.0, 0.0), (side, 0.0), (side, side), (0.0, side), (0.0, 0.0)):
            length += side * 0.033
            lines.append(f"G1 X{100 + x:.2f} Y{80 + y:.2f} E{length:.4f} F1500")
    lines += ["M104 S0", "M140 S0", ""]
    path = folder / f"hollow_box_{layers}.gcode"
    path.write_text("\n".join(lines))
    return path


class Whole:
    """One installation. ``acknowledged``: (aggregate id, position) of every command that was
    answered; ``names``: machine names by node id."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.settings = Settings(home=home)
        self.acknowledged: list[tuple[str, int]] = []
        self.names: dict[str, str] = {}
        self._starts = 0
        self._shop: Child | None = None
        self._running: Running | None = None
        self.up()
        try:
            self.portal = Client.signed_in(self.url, mail=self.system.mail, password=self.password)
        except BaseException:
            self.system.close()
            raise

    @property
    def system(self) -> Running:
        assert self._running is not None
        return self._running

    @property
    def url(self) -> str:
        return self.system.url

    @property
    def password(self) -> str:
        return self.system.password

    def up(self) -> None:
        """`imewe up` on the home, again after the supervisor was killed."""
        self._starts += 1
        folder = self.home.parent / f"up-{self._starts}"
        folder.mkdir()
        self._running = Running(self.settings, folder)

    def open_shop(self, machines: tuple[Machine, ...] = TWO_PRINTERS) -> None:
        """Furnish the shop, start its virtual machines and wait until the bridge has them."""
        self.names |= furnish(self.portal, self.home, machines)
        command = service_command(self.settings, "virtual-shop")
        log = self.home.parent / "shop.log"
        self._shop = Child(Program(command=command, log=log, lifeline=True))
        wanted = {machine.name for machine in machines}
        self.until(
            lambda: wanted <= {n["name"] for n in self.nodes() if n["connected"]},
            "the bridge reaches every machine",
        )

    def moved(self, node_id: str) -> dict[str, Any]:
        """What a virtual machine counts of itself: ``starts``, ``ends``, ``filament_mm``."""
        path = self.home / "run" / f"{self.names[node_id]}.json"
        if not path.exists():
            return {"starts": 0, "ends": 0, "filament_mm": 0.0}
        return dict(json.loads(path.read_text()))

    def close(self) -> None:
        """End everything."""
        self.portal.close()
        if self._shop:
            self._shop.stop()
        if self._running:
            self._running.close()

    def person(self, role: str, organisation_id: str = "", account_id: str = "") -> Client:
        """The conversation of somebody with one role, by default in the admin's organisation."""
        return Client(self.url, self.token(role, organisation_id, account_id))

    def token(
        self, role: str, organisation_id: str = "", account_id: str = "", *, ttl_s: int = 600
    ) -> str:
        """A good token of somebody; below zero, ``ttl_s`` makes an expired one."""
        place = organisation_id or self.organisation_id
        return Signer(token_keys(self.home).private).sign(
            account_id=account_id or str(uuid4()),
            name="somebody",
            grants=[{"role": role, "organisation_id": place}],
            token_id=uuid4().hex,
            now=datetime.now(UTC),
            ttl_s=ttl_s,
        )

    @cached_property
    def organisation_id(self) -> str:
        """The organisation that the first start founded."""
        me = self.portal.execute("{ me { grants { organisationId } } }")["me"]
        return str(me["grants"][0]["organisationId"])

    # what runs

    @property
    def supervisor(self) -> int:
        """The supervisor's process id."""
        return self.system._children[0].pid

    def pid(self, name: str) -> int:
        """The process id of one of ``PROGRAMS``, or of the ``supervisor``; 0 while it is gone."""
        if name == "supervisor":
            return self.supervisor
        found = [
            child
            for child in psutil.Process(self.supervisor).children()
            if _is(child, name) and child.status() != psutil.STATUS_ZOMBIE
        ]
        return int(found[0].pid) if found else 0

    def kill(self, name: str) -> int:
        """End a program as a crash would; a killed supervisor is followed by a new `imewe up`."""
        pid = self.pid(name)
        assert pid, f"{name} does not run"
        os.kill(pid, signal.SIGKILL)
        if name == "supervisor":
            self.system.close()
            self.up()
        return pid

    # orders

    def command(self, document: str, **variables: Any) -> dict[str, Any]:
        """Send one mutation and remember what was acknowledged. Raises its problem."""
        payload = self.portal.command(document, variables)
        about = [v for k, v in payload.items() if k.endswith("Id") and k != "commandId"]
        self.acknowledged.append((str(about[0]), int(payload["position"])))
        return payload

    def persist(self, document: str, **variables: Any) -> dict[str, Any]:
        """Send it until it is answered; ``commandId`` among the variables makes that safe."""
        return self.until(lambda: self.command(document, **variables), "an answer to a command")

    def order(self, *programs: Path, quantity: int = 1, material: str = "PLA") -> dict[str, Any]:
        """The input of a job with one line for each file, which is uploaded."""
        parts = [
            {
                "name": path.stem,
                "artifactDigest": self.portal.upload(path)["digest"],
                "materialType": material,
                "quantity": quantity,
            }
            for path in programs
        ]
        return {"name": "test order", "parts": parts}

    def submit(self, *programs: Path, **how: Any) -> str:
        """Order one piece (or ``quantity``) of each program; the job's id."""
        return str(self.command(SUBMIT, input=self.order(*programs, **how))["jobId"])

    def submit_digest(self, digest: str, **how: Any) -> str:
        """Order one piece of a stored file; ``how``: other fields of the order."""
        part = {"name": "box", "artifactDigest": digest, "materialType": "PLA"}
        order = {"name": "test order", "parts": [part], **how}
        return str(self.command(SUBMIT, input=order)["jobId"])

    def job(self, job_id: str) -> dict[str, Any]:
        """The order as the read side has it, with everything that we did to it."""
        own = [position for about, position in self.acknowledged if about == job_id]
        position = str(max(own)) if own else None
        found = self.portal.execute(JOB, {"id": job_id, "atLeast": position})["job"]
        assert found is not None, f"job {job_id} is not there"
        return dict(found)

    def nodes(self) -> list[dict[str, Any]]:
        return [edge["node"] for edge in self.portal.execute(NODES)["nodes"]["edges"]]

    def node(self, node_id: str) -> dict[str, Any]:
        return next(node for node in self.nodes() if node["id"] == node_id)

    def lots(self) -> list[dict[str, Any]]:
        return [edge["node"] for edge in self.portal.execute(LOTS)["inventory"]["edges"]]

    def until_job(
        self, job_id: str, holds: Callable[[dict[str, Any]], bool], what: str, **how: Any
    ) -> dict[str, Any]:
        """Wait until something holds of a job, and return the job."""

        def look() -> dict[str, Any] | None:
            found = self.job(job_id)
            return found if holds(found) else None

        return self.until(look, f"job {job_id}: {what}", **how)

    def until_ended(self, job_id: str, *, operator: bool = True, within: float = PATIENCE_S) -> Any:
        """Wait for the end of a job. With an ``operator`` questions are answered: the piece is
        scrapped and the bed cleared."""

        def look() -> dict[str, Any] | None:
            found = self.job(job_id)
            if operator:
                self.answer_questions(found)
            return found if found["status"] in ENDED else None

        return self.until(look, f"the end of job {job_id}", within=within)

    def questions(self, job: dict[str, Any]) -> list[tuple[str, int, str]]:
        """(part, piece, node) of each build whose outcome nobody knows yet."""
        return [
            (part["id"], build["piece"], build["nodeId"])
            for part in job["parts"]
            for build in part["builds"]
            if build["status"] == "OUTCOME_UNKNOWN" and build["passed"] is None
        ]

    def answer_questions(self, job: dict[str, Any]) -> None:
        """As a careful operator would: what nobody saw end is scrapped."""
        for part_id, piece, node_id in self.questions(job):
            if self.node(node_id)["run"] is None:
                self.command(SCRAP, id=part_id, piece=piece)
                self.command(CLEAR, id=node_id)

    def until(self, look: Callable[[], T | None], what: str, within: float = PATIENCE_S) -> T:
        """Ask ten times a second until the answer is true; being down is not yet an answer.

        Any refusal but ``UnavailableError`` fails at once.
        """
        end = time.monotonic() + within
        problem: ImeweError | None = None
        while time.monotonic() < end:
            try:
                if found := look():
                    return found
            except UnavailableError as error:
                problem = error
            time.sleep(0.1)
        raise AssertionError(f"{what}: not within {within:.0f} s; last refusal {problem!r}")


@contextlib.contextmanager
def own_home() -> Iterator[Path]:
    """Where a home can be, with nothing in it yet."""
    outer = Path(tempfile.mkdtemp(prefix="imewe-whole-"))
    if os.geteuid() == 0:
        outer.chmod(0o711)
    try:
        yield outer / "home"
    finally:
        shutil.rmtree(outer, ignore_errors=True)


@contextlib.contextmanager
def whole_at(home: Path, machines: tuple[Machine, ...] = TWO_PRINTERS) -> Iterator[Whole]:
    """A system in a home, its shop open when there are machines."""
    with contextlib.closing(Whole(home)) as whole:
        if machines:
            whole.open_shop(machines)
        yield whole


@contextlib.contextmanager
def whole_system(machines: tuple[Machine, ...] = TWO_PRINTERS) -> Iterator[Whole]:
    """A system in a home of its own."""
    with own_home() as home, whole_at(home, machines) as whole:
        yield whole


def _is(child: psutil.Process, name: str) -> bool:
    try:
        words = child.cmdline()
    except psutil.Error:
        return False
    program = Path(words[0]).name if words else ""
    if name in ("nats", "postgres"):
        return re.match("nats-server" if name == "nats" else "postgres", program) is not None
    return words[-4:-3] == [name] or f" run {name} " in f" {' '.join(words)} "
