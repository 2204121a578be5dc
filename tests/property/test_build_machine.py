"""Any order of what bridge and processes say of a build: it runs at most once, and ends once."""

from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from domain.build.aggregate import Build, RunFigures
from domain.build.states import ENDED, BuildStatus
from tests.machine import AggregateMachine

FIGURES = RunFigures(
    duration_ms=1, energy_j=1, energy_source="meter", material_mm3=1, material_mg=1
)
EPOCHS = st.integers(1, 3)
ONCE = (Build.Reserved, Build.Accepted, Build.Started, Build.Inspected)


class BuildMachine(AggregateMachine):
    aggregate: Build

    @initialize()
    def plan(self) -> None:
        self.aggregate = Build.plan(
            UUID(int=3),
            organisation_id="org",
            job_id="job",
            dispatch_id="dispatch",
            attempt=1,
            node_id="n1",
            pieces=[{"part_id": "part", "piece": 0}],
            program={"digest": "d" * 64, "size": 1, "format": "gcode", "name": "a.gcode"},
            material="PLA",
            duration_ms=1,
            material_mm3=1,
            material_mg=1,
        )
        self.ended = ""

    @rule(epoch=EPOCHS)
    def reserve(self, epoch: int) -> None:
        self.attempt(lambda build: build.reserve(epoch=epoch, inventory_id="lot"))

    @rule()
    def send(self) -> None:
        self.attempt(Build.send)

    @rule(epoch=EPOCHS, node=st.sampled_from(["n1", "n1", "n2"]))
    def accept(self, epoch: int, node: str) -> None:
        obeyed = self.attempt(lambda b: b.accept(node_id=node, epoch=epoch, bridge="local"))
        assert not obeyed or (node, epoch) == ("n1", self.aggregate.epoch)

    @rule(epoch=EPOCHS)
    def start(self, epoch: int) -> None:
        obeyed = self.attempt(lambda build: build.start(epoch=epoch))
        assert not obeyed or epoch == self.aggregate.epoch

    @rule(percent=st.integers(-1, 101))
    def progress(self, percent: int) -> None:
        before = self.aggregate.percent
        self.attempt(lambda build: build.progress(percent))
        assert self.aggregate.percent >= before

    @rule(hold=st.booleans())
    def hold(self, *, hold: bool) -> None:
        self.attempt(Build.pause if hold else Build.resume)

    @rule()
    def finish(self) -> None:
        self.attempt(lambda build: build.finish(FIGURES))

    @rule()
    def fail(self) -> None:
        self.attempt(lambda build: build.fail("jam", native_text="", figures=FIGURES))

    @rule()
    def request_cancel(self) -> None:
        self.attempt(Build.request_cancel)

    @rule()
    def confirm_cancelled(self) -> None:
        self.attempt(lambda build: build.confirm_cancelled(FIGURES))

    @rule()
    def lose_outcome(self) -> None:
        self.attempt(lambda build: build.lose_outcome("unplugged", facts={}))

    @rule(passed=st.booleans())
    def inspect(self, *, passed: bool) -> None:
        self.attempt(lambda build: build.inspect(passed=passed, by="user/otto"))

    @invariant()
    def it_moves_the_machine_once_and_ends_once(self) -> None:
        kinds = [type(event) for event in self.aggregate.pending_events]
        assert all(kinds.count(kind) <= 1 for kind in ONCE)
        ends = [kind for kind in kinds if kind in {Build.Finished, Build.Failed, Build.Cancelled}]
        assert len(ends) <= 1
        assert Build.Started not in kinds or kinds.index(Build.Accepted) < kinds.index(
            Build.Started
        )

    @invariant()
    def an_ended_build_stays_as_it_ended(self) -> None:
        assert not self.ended or self.aggregate.status == self.ended
        if BuildStatus(self.aggregate.status) in ENDED:
            self.ended = self.aggregate.status


TestBuild = BuildMachine.TestCase
