"""Any order of what people, bridge and processes say of a node: one build, and on a clear bed."""

from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from domain.node.aggregate import Node
from tests.machine import AggregateMachine

PROFILE = {"process": "fdm", "materials": ["PLA"], "max_size": {"x": 1.0, "y": 1.0, "z": 1.0}}
BUILDS = st.sampled_from(["b1", "b2", "b3"])


class NodeMachine(AggregateMachine):
    aggregate: Node

    @initialize()
    def register(self) -> None:
        self.aggregate = Node.register(
            UUID(int=4),
            organisation_id="org",
            owner_id="vera",
            name="Prusa 1",
            bridge="local",
            virtual=True,
        )
        self.aggregate.configure(PROFILE)
        self.aggregate.connect({"firmware": "Marlin"})

    @rule(build=BUILDS)
    def reserve(self, build: str) -> None:
        node = self.aggregate
        free = not node.build_id and node.bed_clear
        sound = node.connected and not node.held and not node.stopped and node.status == "IDLE"
        holds = node.build_id == build
        epoch = node.epoch
        obeyed = self.attempt(lambda node: node.reserve(build))
        assert obeyed == (holds or (free and sound))
        assert node.epoch == epoch + (1 if obeyed and not holds else 0)

    @rule(build=BUILDS)
    def release(self, build: str) -> None:
        self.attempt(lambda node: node.release(build))

    @rule(build=BUILDS)
    def begin(self, build: str) -> None:
        obeyed = self.attempt(lambda node: node.begin_execution(build))
        assert not obeyed or self.aggregate.build_id == build

    @rule(build=BUILDS)
    def end(self, build: str) -> None:
        self.attempt(lambda node: node.end_execution(build, "finished"))

    @rule()
    def clear_bed(self) -> None:
        self.attempt(lambda node: node.clear_bed("user/otto"))

    @rule(on=st.booleans())
    def link(self, *, on: bool) -> None:
        if on:
            self.attempt(lambda node: node.connect({"firmware": "Marlin"}))
        else:
            self.attempt(lambda node: node.disconnect("unplugged"))

    @rule(on=st.booleans())
    def hold(self, *, on: bool) -> None:
        self.attempt((lambda node: node.hold("lunch")) if on else Node.end_hold)

    @rule(on=st.booleans())
    def emergency(self, *, on: bool) -> None:
        if on:
            self.attempt(lambda node: node.stop(by="user/otto", latency_ms=1))
        else:
            self.attempt(lambda node: node.clear_stop("user/otto"))

    @rule(on=st.booleans())
    def maintain(self, *, on: bool) -> None:
        self.attempt(Node.begin_maintenance if on else Node.end_maintenance)

    @invariant()
    def it_holds_one_build_and_says_so(self) -> None:
        node = self.aggregate
        assert bool(node.build_id) == (node.status in {"ASSIGNED", "EXECUTING"})

    @invariant()
    def nothing_was_ever_reserved_on_an_uncleared_bed(self) -> None:
        clear, holder, epoch = False, "", 0
        for event in self.aggregate.pending_events:
            fact: Any = event
            match event:
                case Node.BedCleared():
                    assert not holder or not clear
                    clear = True
                case Node.Reserved():
                    assert clear
                    assert not holder
                    assert fact.epoch == epoch + 1
                    holder, epoch = fact.build_id, fact.epoch
                case Node.ExecutionBegan() | Node.ExecutionEnded():
                    assert fact.build_id == holder
                    clear = False
                    if isinstance(event, Node.ExecutionEnded):
                        holder = ""
                case Node.Released():
                    assert fact.build_id == holder
                    holder = ""


TestNode = NodeMachine.TestCase
