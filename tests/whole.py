"""The whole system, as `imewe up` runs it, with a small virtual shop: for tests that order parts,
kill programs and look at what is left."""

import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import psutil

from domain.shared.errors import ImeweError, UnavailableError
from ops.cli.client import Client
from ops.demo.scene import Machine
from ops.demo.shop import furnish
from ops.demo.system import Running
from ops.hosting.children import Child, Program
from ops.hosting.units import service_command
from ops.settings import Settings
from ops.supervisor import SERVICES
from tests.whole_orders import CLEAR, JOB, LOTS, NODES, SCRAP, SUBMIT, TWO_PRINTERS

T = TypeVar("T")

ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "REJECTED"})
CLOSED = frozenset({"INSPECTED", "FAILED", "CANCELLED"})
"""Builds of which nothing more will be told."""
PROGRAMS = ("nats", "postgres", *SERVICES)
"""Everything that the supervisor keeps running."""
PATIENCE_S = 90.0


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
            mail, password = self.system.mail, self.system.password
            self.portal = Client.signed_in(self.url, mail=mail, password=password)
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
        """The order as the read side has it, with everything that we did."""
        found = self.portal.execute(JOB, {"id": job_id, "atLeast": self._seen})["job"]
        assert found is not None, f"job {job_id} is not there"
        return dict(found)

    @property
    def _seen(self) -> str:
        """What every question must take into account: whatever we were told that we did."""
        return str(max((position for _, position in self.acknowledged), default=0))

    def nodes(self) -> list[dict[str, Any]]:
        found = self.portal.execute(NODES, {"at": self._seen})
        return [edge["node"] for edge in found["nodes"]["edges"]]

    def node(self, node_id: str) -> dict[str, Any]:
        return next(node for node in self.nodes() if node["id"] == node_id)

    def lots(self) -> list[dict[str, Any]]:
        found = self.portal.execute(LOTS, {"at": self._seen})
        return [edge["node"] for edge in found["inventory"]["edges"]]

    def until_job(
        self, job_id: str, holds: Callable[[dict[str, Any]], bool], what: str, **how: Any
    ) -> dict[str, Any]:
        """Wait until something holds of a job, and return the job."""
        last: dict[str, Any] = {}

        def look() -> dict[str, Any] | None:
            last.update(self.job(job_id))
            return dict(last) if holds(last) else None

        try:
            return self.until(look, f"job {job_id}: {what}", **how)
        except AssertionError as error:
            raise AssertionError(f"{error}: {json.dumps(last, indent=1)}") from error

    def until_ended(self, job_id: str, *, operator: bool = True, within: float = PATIENCE_S) -> Any:
        """Wait until a job and all its builds have ended. With an ``operator`` questions are
        answered: the piece is scrapped and the bed cleared."""

        def ended(job: dict[str, Any]) -> bool:
            if operator:
                self.answer_questions(job)
            builds = {build["status"] for part in job["parts"] for build in part["builds"]}
            return job["status"] in ENDED and builds <= CLOSED

        return self.until_job(job_id, ended, "its end", within=within)

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
    programs = {"nats": "nats-server", "postgres": "postgres"}
    if name in programs:
        return bool(words) and Path(words[0]).name.startswith(programs[name])
    return f" run {name} " in f" {' '.join(words)} "
