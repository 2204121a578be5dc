"""Halting every machine at once: those in memory first, those of the database as soon as it says
them. One machine that cannot be reached holds up no other."""

import asyncio
import time
from collections.abc import Iterable
from enum import Enum

import strawberry
import structlog

from commands.authorisation import EMERGENCY_STOP, permitted_places
from commands.principal import Principal
from domain.node.states import NodeStatus
from domain.shared.errors import ImeweError, UnavailableError
from gateways.graphql.context import Info
from gateways.graphql.fields import described, resolved
from gateways.graphql.problems import Problem, problem_of
from gateways.graphql.whereabouts import Whereabouts
from projections.nodes import queries as nodes
from projections.querying import PAGE_LIMIT, Cursor

log = structlog.get_logger("gateway.stopping")
GONE = NodeStatus.DECOMMISSIONED
DATABASE_S = 2.0
"""The list of machines is waited for so long; who is known by then is stopped by then."""


@strawberry.enum(description="How an emergency stop of one machine ended.")
class StopOutcome(Enum):
    CONFIRMED = strawberry.enum_value(
        "CONFIRMED", description="The machine itself said that it halted."
    )
    UNCONFIRMED = strawberry.enum_value(
        "UNCONFIRMED",
        description="Its bridge sent the stop, the machine did not answer: go and look.",
    )
    UNREACHABLE = strawberry.enum_value(
        "UNREACHABLE", description="Its bridge did not answer: use the machine's own switch."
    )


@strawberry.type(description="One machine's part of a stop of the whole fleet.")
class FleetStop:
    node_id: strawberry.ID = described("The machine.")
    bridge: str = described("The bridge beside it.")
    outcome: StopOutcome = described("How it ended.")
    native_text: str = described("The machine's own words, or why nobody answered.")
    latency_ms: float | None = described("From the bridge's order to the machine's answer, ms.")
    round_trip_ms: float = described("From this request to the bridge's answer, ms.")


@strawberry.type(description="What became of a stop of the whole fleet, machine by machine.")
class FleetStopPayload:
    problems: list[Problem] = strawberry.field(
        default_factory=list,
        description="Why nothing was stopped, or why the list may lack machines.",
    )
    stops: list[FleetStop] = strawberry.field(
        default_factory=list, description="Each machine that you may stop."
    )


@strawberry.type
class FleetStopMutation:
    """For operators and admins, as the stop of one machine is."""

    @resolved("Halt every machine that you may halt, now. Each stays halted until it is cleared.")
    async def emergency_stop_all(self, info: Info) -> FleetStopPayload:
        try:
            person = info.context.caller.person()
            places = permitted_places(EMERGENCY_STOP, person)
        except ImeweError as error:
            info.context.tell_denial(error, action=EMERGENCY_STOP, resource="node/*")
            return FleetStopPayload(problems=[problem_of(error)])
        return await _Fleet(info, person, places).stop()


class _Fleet:
    """One stop of everything. A machine met twice is asked once."""

    def __init__(self, info: Info, person: Principal, organisations: frozenset[str]) -> None:
        self._info = info
        self._person = person
        self._organisations = organisations
        self._began = time.perf_counter()
        self._asked: dict[str, asyncio.Task[FleetStop]] = {}

    async def stop(self) -> FleetStopPayload:
        """Ask all bridges at the same time, and say what each answered."""
        self._ask(self._info.context.gateway.whereabouts.all())
        problems: list[Problem] = []
        try:
            async with asyncio.timeout(DATABASE_S):
                await self._ask_the_rest()
        except Exception:  # whatever it is, who is known is stopped and told of
            log.warning("the list of machines cannot be read", exc_info=True)
            incomplete = UnavailableError(
                "the list of machines cannot be read: those that this gateway knows were asked",
                remedy="say imewe bridge stop --all on each bridge's own computer",
            )
            problems.append(problem_of(incomplete))
        stops = await asyncio.gather(*self._asked.values())
        return FleetStopPayload(stops=list(stops), problems=problems)

    def _ask(self, places: Iterable[Whereabouts]) -> None:
        for place in places:
            if place.organisation_id in self._organisations and place.node_id not in self._asked:
                asking = asyncio.get_running_loop().create_task(self._one(place))
                self._asked[place.node_id] = asking

    async def _ask_the_rest(self) -> None:
        context = self._info.context
        after: Cursor | None = None
        async with context.reads.use(nodes.READS) as connection:
            while True:
                page = await nodes.nodes(connection, context.scope, first=PAGE_LIMIT, after=after)
                there = [view.node for view in page.items if view.node.status != GONE]
                self._ask(context.gateway.whereabouts.learn(node) for node in there)
                if not page.has_more:
                    return
                after = Cursor(page.items[-1].node.created)

    async def _one(self, place: Whereabouts) -> FleetStop:
        try:
            answer = await self._info.context.gateway.stops.stop(
                bridge=place.bridge, node_id=place.node_id, by=str(self._person)
            )
            outcome = StopOutcome.CONFIRMED if answer["confirmed"] else StopOutcome.UNCONFIRMED
            told = outcome, str(answer["native_text"]), answer["latency_ms"]
        except ImeweError as error:
            return self._told(place, StopOutcome.UNREACHABLE, error.message, None)
        except Exception:  # one bridge's nonsense must not hide what became of the others
            log.exception("a stop broke", bridge=place.bridge, node_id=place.node_id)
            return self._told(place, StopOutcome.UNREACHABLE, "the answer makes no sense", None)
        return self._told(place, *told)

    def _told(
        self, place: Whereabouts, outcome: StopOutcome, text: str, latency_ms: float | None
    ) -> FleetStop:
        return FleetStop(
            node_id=strawberry.ID(place.node_id),
            bridge=place.bridge,
            outcome=outcome,
            native_text=text,
            latency_ms=latency_ms,
            round_trip_ms=round((time.perf_counter() - self._began) * 1000, 3),
        )
