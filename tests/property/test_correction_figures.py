"""Whatever is learned late, the figures are those of a fold that had known all from the start."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.build.aggregate import Build, RunFigures
from domain.node.aggregate import Node
from domain.node.downtime import correct_downtime, withdraw_downtime
from domain.period.aggregate import Period, month_of, period_id, span_of
from domain.shared.errors import ImeweError
from domain.shared.identifiers import derived
from domain.shared.moments import told
from projections.kpis.projector import CONTRIBUTIONS, DOWNTIMES, HOURS, SUBJECTS, Kpis
from projections.kpis.queries import figures_in
from projections.kpis.rows import FIGURES, KpiRow
from projections.kpis.shares import shared
from projections.nodes.projector import NODES, Nodes
from projections.rows import Rows
from tests.correcting import TimedStory, folded
from tests.stories import ARTIFACT, PROFILE

BEGIN = datetime(2026, 8, 30, 22, 0, tzinfo=UTC)
Span = tuple[datetime, datetime]
CHOICES = (
    *("connect", "disconnect", "begin", "end", "down", "down", "withdraw", "cut"),
    *("build", "correct", "register", "decommission"),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(CHOICES),
        st.integers(0, 40 * 60),  # minutes that pass before it
        st.integers(0, 1),  # which machine or build
        st.integers(0, 60 * 60),  # minutes back, for corrections
        st.integers(1, 40 * 60),  # minutes long, or an amount
    ),
    min_size=5,
    max_size=40,
)


@dataclass
class Machine:
    """What truly was, as it is known in the end."""

    node: Node
    known: list[datetime]
    links: dict[str, list[list[datetime]]] = field(
        default_factory=lambda: {"connected": [], "executing": []}
    )
    down: list[Span] = field(default_factory=list)

    def open(self, what: str) -> bool:
        return bool(self.links[what]) and len(self.links[what][-1]) == 1

    def time_in(self, what: str, period: Span) -> int:
        """ms, by every interval and every downtime."""
        total = 0
        for begin, *ended in self.links[what]:
            whole = shared((begin, ended[0] if ended else period[1]), period)
            total += ms(whole) - sum(ms(shared(whole, down)) for down in self.down)
        return total


class Truth:
    """A story with corrections, and beside it the corrected facts in the plainest form."""

    def __init__(self) -> None:
        self.story = TimedStory(now=BEGIN)
        self.machines: list[Machine] = []
        self.builds: list[tuple[Build, datetime]] = []
        self.energy: dict[int, int] = {}
        self.next_month = month_of(BEGIN)
        self.cuts: list[tuple[str, int]] = []

    def take(self, step: str, which: int, back: int, amount: int) -> None:
        machine = self.machines[which % len(self.machines)] if self.machines else None
        match step:
            case "register":
                if len(self.machines) < 2:
                    node = self.story.node(f"m{len(self.machines)}")
                    self.machines.append(Machine(node, [self.story.now]))
            case "build":
                self.build(amount)
            case "correct":
                self.correct(which, amount)
            case "cut":
                self.cut()
            case _ if machine is not None and len(machine.known) == 1:
                self.link(machine, step, back, amount)

    def link(self, machine: Machine, step: str, back: int, amount: int) -> None:
        node, now = machine.node, self.story.now
        since = now - timedelta(minutes=back)
        match step:
            case "connect" if not machine.open("connected"):
                self.story.act(lambda: node.connect({"f": str(now)}), node)
                machine.links["connected"].append([now])
            case "disconnect" if machine.open("connected"):
                self.story.act(lambda: node.disconnect("x"), node)
                machine.links["connected"][-1].append(now)
            case "begin":
                self.begin(machine)
            case "end" if machine.open("executing"):
                self.story.act(lambda: node.end_execution(node.build_id, "finished"), node)
                machine.links["executing"][-1].append(now)
            case "down":
                span = (since, min(now, since + timedelta(minutes=amount)))
                if self.obeyed(
                    node,
                    lambda: correct_downtime(
                        node,
                        self.story.past(node),
                        since=told(span[0]),
                        until=told(span[1]),
                        reason="r",
                        now=now,
                    ),
                ):
                    machine.down.append(span)
            case "withdraw" if machine.down:
                span = machine.down[back % len(machine.down)]
                self.story.act(
                    lambda: withdraw_downtime(node, since=told(span[0]), reason="r"), node
                )
                machine.down.remove(span)
            case "decommission" if amount % 4 == 0 and not node.build_id:
                self.story.act(node.decommission, node)
                machine.known.append(now)
                if machine.open("connected"):
                    machine.links["connected"][-1].append(now)

    def obeyed(self, aggregate: Any, deed: Any) -> bool:
        before = len(self.story.events)
        try:
            self.story.act(deed, aggregate)
        except ImeweError:
            return False
        return len(self.story.events) > before

    def begin(self, machine: Machine) -> None:
        node = machine.node
        if not machine.open("connected") or machine.open("executing"):
            return

        def start() -> None:
            node.configure(PROFILE)
            node.clear_bed("anna")
            build = f"b{len(self.story.events)}"
            node.reserve(build)
            node.begin_execution(build)

        self.story.act(start, node)
        machine.links["executing"].append([self.story.now])

    def build(self, amount: int) -> None:
        made: Build = self.story.act(
            lambda: Build.plan(
                derived("build", len(self.builds)),
                organisation_id=self.story.organisation_id,
                job_id="j",
                dispatch_id="d",
                attempt=1,
                node_id="n",
                pieces=[{"part_id": "p", "piece": 0}],
                program=ARTIFACT,
                material="PLA",
                duration_ms=1,
                material_mm3=1,
                material_mg=1,
            )
        )
        figures = RunFigures(
            duration_ms=1, energy_j=amount, energy_source="meter", material_mm3=1, material_mg=1
        )
        self.story.act(lambda: made.fail("jam", native_text="", figures=figures), made)
        self.energy[len(self.builds)] = amount
        self.builds.append((made, self.story.now))

    def correct(self, which: int, amount: int) -> None:
        """One reading among many: one of the oldest."""
        if which < len(self.builds):
            build, past = self.builds[which][0], self.story.past(self.builds[which][0])
            self.story.act(
                lambda: build.correct_figures(
                    past, energy_j=amount, material_mg=None, reason="the meter lied"
                ),
                build,
            )
            self.energy[which] = amount

    def cut(self) -> None:
        _, until = span_of(self.next_month)
        if until <= self.story.now:
            place = self.story.organisation_id
            period = self.story.act(
                lambda: Period.cut_off(
                    period_id(place, self.next_month),
                    organisation_id=place,
                    month=self.next_month,
                    now=self.story.now,
                )
            )
            self.story.tell(period)
            self.cuts.append((self.next_month, len(self.story.events)))
            self.next_month = month_of(until)

    def figures(self, period: Span) -> dict[str, int]:
        """Everything again from the facts, by minutes of each machine."""
        sums = dict.fromkeys(("known_ms", "connected_ms", "executing_ms"), 0)
        for machine in self.machines:
            end = machine.known[1] if len(machine.known) > 1 else period[1]
            sums["known_ms"] += ms(shared((machine.known[0], end), period))
            for what in machine.links:
                sums[f"{what}_ms"] += machine.time_in(what, period)
        ended_then = [n for n, (_, at) in enumerate(self.builds) if period[0] <= at < period[1]]
        return {
            **sums,
            "builds_ended": len(ended_then),
            "energy_j": sum(self.energy[number] for number in ended_then),
            "material_mg": len(ended_then),
        }


def ms(span: Span) -> int:
    return max(0, (span[1] - span[0]) // timedelta(milliseconds=1))


def read(rows: Rows, truth: Truth, period: Span) -> KpiRow:
    place = truth.story.organisation_id
    hours = [row for of, found in rows.sums() if of is HOURS for row in found]
    return figures_in(
        place,
        *period,
        hours,
        rows.having(SUBJECTS, organisation_id=place, kind="node"),
        rows.having(DOWNTIMES, organisation_id=place, withdrawn=False),
    )


def told_story(steps: list[tuple[str, int, int, int, int]]) -> Truth:
    truth = Truth()
    truth.take("register", 0, 0, 0)
    for step, wait, which, back, amount in steps:
        truth.story.later(minutes=wait)
        truth.take(step, which, back, amount)
    truth.story.later(minutes=1)
    return truth


@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_figures_are_those_of_the_corrected_facts(steps: list[Any]) -> None:
    truth = told_story(steps)
    rows = folded(Kpis(), truth.story)
    months = [span_of(month) for month, _ in truth.cuts]
    for since, until in [(BEGIN.replace(hour=0), truth.story.now), *months]:
        row = read(rows, truth, (since, until))
        wanted = truth.figures((since, until))
        assert {name: getattr(row, name) for name in wanted} == wanted


@given(STEPS)
@settings(max_examples=100, deadline=None)
def test_a_machines_own_sums_are_those_of_the_corrected_facts(steps: list[Any]) -> None:
    truth = told_story(steps)
    rows, now = folded(Nodes(), truth.story), truth.story.now
    for machine in truth.machines:
        if len(machine.known) > 1:
            continue  # its link lives on when it has left the fleet
        row = rows.get(NODES, str(machine.node.id))
        for what, since, ended in [
            ("connected", row.connected_since, row.connected_ms),
            ("executing", row.executing_since, row.executing_ms),
        ]:
            total = ended + (ms((since, now)) if since else 0)
            assert total == machine.time_in(what, (BEGIN, now))


@given(STEPS)
@settings(max_examples=100, deadline=None)
def test_a_report_is_what_was_known_at_its_cut_off_and_adjustments_make_up_the_rest(
    steps: list[Any],
) -> None:
    truth = told_story(steps)
    rows = folded(Kpis(), truth.story)
    contributions = [row for of, found in rows.appended() if of is CONTRIBUTIONS for row in found]
    for month, cut in truth.cuts:
        period = span_of(month)
        then = read(folded(Kpis(), truth.story, upto=cut), truth, period)
        now = read(rows, truth, period)
        inside = [row for row in contributions if period[0] <= row.hour < period[1]]
        for name in FIGURES:
            known = sum(row.amounts.get(name, 0) for row in inside if row.position <= cut)
            later = sum(row.amounts.get(name, 0) for row in inside if row.position > cut)
            assert known == getattr(then, name), name
            assert known + later == getattr(now, name), name
