"""Why one event happened; of a decision, on what grounds."""

from typing import Self

import strawberry
from strawberry.scalars import JSON

from gateways.graphql.context import Info
from gateways.graphql.fields import described, resolved
from gateways.graphql.notes import noted
from gateways.graphql.scalars import Instant, Position
from gateways.graphql.types.explaining import Told, names_of
from gateways.graphql.types.history import Event
from gateways.graphql.types.shared import optional_id
from projections.history.decisions import Candidate, Choice, Refusal, code_of
from projections.history.explanations import Decided, Explanation
from projections.history.rows import EventRow
from projections.history.states import Decode
from projections.jobs.waiting import why_waiting

PERSON = "user"


@strawberry.type(description="One term of a score.")
class ScoreTerm:
    name: str = described("For example idleness.")
    value: float = described("0 (worst) to 1 (best).")
    weight: float = described("How much it counts.")
    share: float = described("Value times weight.")


@strawberry.type(description="A machine that could take the work.")
class ScoredNode:
    node_id: strawberry.ID = described("The machine.")
    score: float = described("The sum of the shares.")
    terms: list[ScoreTerm] = described("What it is made of.")

    @classmethod
    def of(cls, candidate: Candidate) -> Self:
        """From a recorded choice."""
        terms = [
            ScoreTerm(name=t.name, value=t.value, weight=t.weight, share=round(t.share, 6))
            for t in candidate.terms
        ]
        return cls(node_id=strawberry.ID(candidate.node_id), score=candidate.score, terms=terms)


@strawberry.type(description="A machine that could not take the work.")
class RejectedNode:
    node_id: strawberry.ID = described("The machine.")
    reason: str = described("In a word.")
    message: str = described("In a sentence.")

    @classmethod
    def of(cls, refusal: Refusal) -> Self:
        """From a recorded choice."""
        return cls(
            node_id=strawberry.ID(refusal.node_id), reason=refusal.reason, message=refusal.message
        )


@strawberry.type(description="How many machines could not, for one reason.")
class RejectedCount:
    reason: str = described("In a word.")
    count: int = described("Machines.")
    message: str = described("In a sentence.")


@strawberry.type(description="The grounds of a choice of a machine, as they were recorded with it.")
class ChoiceExplained:
    node_id: strawberry.ID = described("The machine chosen.")
    attempt: int = described("Which try of this piece it was, from 1.")
    policy: str = described("The rule that chose.")
    policy_version: int = described("Its version.")
    fleet_position: Position = described("The choice was made on the fleet as it was then.")
    occasion: Told | None = described("The event at that position: what made a choice possible.")
    runner_up: strawberry.ID | None = described("The second best machine.")
    candidates: list[ScoredNode] = described("Machines that could, the best first; at most 20.")
    rejections: list[RejectedNode] = described("Machines that could not; the first 20.")
    rejected: list[RejectedCount] = described("All that could not, by reason.")
    work: JSON = described("What was asked for: process, material, size, estimates.")
    choice: strawberry.Private[Choice]

    @classmethod
    def of(cls, decided: Decided, decode: Decode) -> Self:
        """From a recorded choice."""
        choice = decided.choice
        return cls(
            node_id=strawberry.ID(choice.node_id),
            attempt=choice.attempt,
            policy=choice.policy,
            policy_version=choice.policy_version,
            fleet_position=Position(choice.fleet_position),
            occasion=Told.of(decided.occasion, decode) if decided.occasion else None,
            runner_up=optional_id(choice.runner_up),
            candidates=[ScoredNode.of(each) for each in choice.candidates],
            rejections=[RejectedNode.of(each) for each in choice.refusals],
            rejected=[
                RejectedCount(
                    reason=reason,
                    count=count,
                    message=why_waiting(code_of(reason), count)["message"],
                )
                for reason, count in choice.rejected.items()
            ],
            work=JSON(decided.work),
            choice=choice,
        )

    @resolved("All of this in plain words.")
    async def words(self, info: Info) -> str:
        ids = [each.node_id for each in self.choice.candidates]
        return self.choice.told(await names_of(info, [self.choice.node_id, *ids]))


@strawberry.type(description="Who or what a story began with.")
class Beginning:
    command_id: str = described("The command.")
    actor: str = described("Who gave it: kind/id.")
    at: Instant = described("When.")

    @resolved("The person's name, for those who may read it; null for others and for services.")
    async def actor_name(self, info: Info) -> str | None:
        kind, _, account_id = self.actor.partition("/")
        if kind != PERSON:
            return None
        return (await info.context.loaders.person_of_account.load(account_id))["name"]

    @classmethod
    def of(cls, first: EventRow) -> Self | None:
        """Of the first event of a chain; ``None`` when what caused it is not to be seen."""
        if first.causation_id != first.command_id:
            return None
        return cls(
            command_id=first.command_id,
            actor=f"{first.actor_kind}/{first.actor_id}",
            at=Instant(first.occurred_at),
        )


@strawberry.type(name="Explanation", description="Why an event happened, and what came of it.")
class ExplanationShown:
    event: Event = described("The event.")
    words: str = noted("What happened, as a sentence.")
    beginning: Beginning | None = described("The command that the chain begins with.")
    chain: list[Told] = described("From the first cause to the event itself.")
    led_to: list[Told] = described("What followed directly; at most 50.")
    more: bool = described("More than that followed.")
    occasion_of: list[Told] = described("Choices of machines that it made possible.")
    decision: ChoiceExplained | None = described("Its grounds, when it is a choice of a machine.")

    @classmethod
    def of(cls, found: Explanation, decode: Decode) -> Self:
        """From rows of the history."""

        def told(rows: list[EventRow]) -> list[Told]:
            return [Told.of(row, decode) for row in rows]

        chain = told(found.chain)
        return cls(
            event=chain[-1].event,
            words=chain[-1].words,
            beginning=Beginning.of(found.chain[0]),
            chain=chain,
            led_to=told(found.led_to),
            more=found.more,
            occasion_of=told(found.occasion_of),
            decision=ChoiceExplained.of(found.decided, decode) if found.decided else None,
        )
