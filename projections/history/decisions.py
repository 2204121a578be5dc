"""A recorded choice of a machine, taken apart and told. Pure."""

from dataclasses import dataclass
from typing import Any, Self

from projections.jobs.waiting import why_waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One term of a score: ``share`` is ``value`` (0 to 1) times ``weight``."""

    name: str
    value: float
    weight: float

    @property
    def share(self) -> float:
        return self.value * self.weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A node that could take the work, with its score."""

    node_id: str
    score: float
    terms: list[Term]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a node could not take the work, in a word and in a sentence."""

    node_id: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The body of ``Dispatch.NodeChosen``. The lists hold the best and the first 20; ``rejected``
    counts all refusals by reason."""

    node_id: str
    attempt: int
    policy: str
    policy_version: int
    fleet_position: int
    runner_up: str
    candidates: list[Candidate]
    refusals: list[Refusal]
    rejected: dict[str, int]

    @classmethod
    def of(cls, body: dict[str, Any]) -> Self:
        """From an event's fields; a decision of another policy may lack some of them."""
        told = body["decision"]
        weights: dict[str, float] = told.get("weights", {})
        return cls(
            node_id=body["node_id"],
            attempt=body["attempt"],
            policy=str(told.get("policy", "")),
            policy_version=int(told.get("policy_version", 0)),
            fleet_position=int(told.get("fleet_position", 0)),
            runner_up=str(told.get("runner_up", "")),
            candidates=[_candidate(each, weights) for each in told.get("candidates", ())],
            refusals=[
                Refusal(node_id=node_id, reason=reason, message=refusal_words(reason))
                for node_id, reason in told.get("rejections", {}).items()
            ],
            rejected=dict(told.get("rejected", {})),
        )

    def told(self, names: dict[str, str]) -> str:
        """The choice in plain words; ``names`` are those of the nodes, by id."""

        def name(node_id: str) -> str:
            return names.get(node_id, node_id)

        best = next((c for c in self.candidates if c.node_id == self.node_id), None)
        words = [f"{name(self.node_id)} was chosen by {self.policy} {self.policy_version}"]
        if best:
            words[0] += f" with a score of {best.score:.3f}"
        second = next((c for c in self.candidates if c.node_id == self.runner_up), None)
        if best and second:
            words.append(
                f"Next came {name(second.node_id)} with {second.score:.3f}; {_lead(best, second)}"
            )
        elif best:
            words.append("No other machine could take the work")
        words += [why_waiting(code_of(n), count)["message"].rstrip(".") for n, count in self._all()]
        return ". ".join(words) + "."

    def _all(self) -> list[tuple[str, int]]:
        return sorted(self.rejected.items(), key=lambda item: (-item[1], item[0]))


def refusal_words(reason: str) -> str:
    """``busy`` as a sentence about one machine."""
    return why_waiting(code_of(reason), 1)["message"]


def code_of(reason: str) -> str:
    """A reason of the choice as the code that waiting pieces are told."""
    return reason.upper().replace(" ", "_")


def _candidate(told: dict[str, Any], weights: dict[str, float]) -> Candidate:
    return Candidate(
        node_id=told["node_id"],
        score=told["score"],
        terms=[
            Term(name=name, value=told[name], weight=weight)
            for name, weight in weights.items()
            if name in told
        ],
    )


def _lead(best: Candidate, second: Candidate) -> str:
    """Which term made the difference."""
    shares = {term.name: term.share for term in second.terms}
    leads = {term.name: term.share - shares.get(term.name, 0.0) for term in best.terms}
    if best.score == second.score or not leads:
        return "of equal scores the smaller id wins"
    name = max(leads, key=lambda each: leads[each])
    return f"{name} decided it ({leads[name]:+.3f})"
