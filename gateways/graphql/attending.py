"""Machines without a wire: what waits for a person, and what the person says of it.

A word goes to the machine's bridge, which journals it and reports what follows as for any machine.
Who said it stands in the audit trail before the bridge hears it.
"""

import asyncio
from collections.abc import Sequence
from enum import Enum
from typing import Any

import strawberry
import structlog

from commands.authorisation import ATTEND, permitted_places
from domain.shared.errors import ForbiddenError, ImeweError
from gateways.graphql.context import Info
from gateways.graphql.fields import described, resolved
from gateways.graphql.problems import Problem, problem_of
from gateways.graphql.scalars import Int53
from gateways.graphql.stopping import allowed_at, demand_right
from projections.nodes import queries as nodes
from projections.nodes.rows import NodeView
from projections.querying import PAGE_LIMIT, Cursor

DRIVER = "attended"
BEGUN, DONE, FAILED = "begun", "done", "failed"
TOLD = {"node_id", "build_id", "state", "ask", "instructions", "file", "digest", "waiting_s"}
"""What a bridge says of each task."""
log = structlog.get_logger("gateway.attending")


@strawberry.enum(description="What a person says of a build at a machine without a wire.")
class Attendance(Enum):
    START = strawberry.enum_value(
        "start", description="Say it before the machine's own button: it may be refused."
    )
    FINISH = strawberry.enum_value("finish", description="It is done as it should be.")
    SCRAP = strawberry.enum_value("scrap", description="It ended otherwise; say why.")
    PAUSE = strawberry.enum_value("pause", description="The machine holds.")
    RESUME = strawberry.enum_value("resume", description="The machine goes on.")


@strawberry.type(description="What waits for a person at a machine without a wire.")
class AttendedTask:
    node_id: strawberry.ID = described("The machine.")
    node_name: str = described("What the machine is called.")
    build_id: strawberry.ID = described("The run.")
    program_name: str = described("The file's name as it was ordered.")
    state: str = described("WAITING until somebody says start; then the machine's state.")
    ask: str = described("What the person is asked to do now.")
    instructions: str = described("What the machine's owner wants to be told with every build.")
    file: str = described("Where the file lies on the bridge's computer.")
    artifact_digest: str = described("The file to fetch: GET /v1/artifacts/<digest>.")
    waiting_s: float = described("For how long it has been asked, s.")


@strawberry.type(description="What waits at all machines that you may attend.")
class AttendedTasks:
    tasks: list[AttendedTask] = described("What waits.")
    silent: list[str] = described("Bridges that did not answer: their tasks are missing here.")


@strawberry.type(description="The answer to a person's word; the bridge reports what follows.")
class AttendPayload:
    problems: list[Problem] = strawberry.field(
        default_factory=list, description="Why the word was not taken."
    )
    node_id: strawberry.ID | None = strawberry.field(default=None, description="The machine.")
    fresh: bool = strawberry.field(
        default=False, description="False when it was said before: then nothing more was done."
    )
    execution: str | None = strawberry.field(
        default=None, description="The machine's state by what people said of it."
    )


@strawberry.type
class AttendingQuery:
    """For operators, admins, and vendors at their own machines."""

    @resolved("What waits for a person at machines without a wire.")
    async def attended_tasks(self, info: Info) -> AttendedTasks:
        views = {view.node.id: view for view in await _attended(info)}
        bridges = sorted({view.node.bridge for view in views.values()})
        asked = await asyncio.gather(*(_tasks_of(info, bridge) for bridge in bridges))
        silent = [bridge for bridge, told in zip(bridges, asked, strict=True) if told is None]
        tasks = [
            _shown(task, view)
            for bridge, told in zip(bridges, asked, strict=True)
            for task in told or ()
            if (view := views.get(task["node_id"])) and view.node.bridge == bridge
        ]
        return AttendedTasks(tasks=tasks, silent=silent)


@strawberry.type
class AttendingMutation:
    """For operators, admins, and vendors at their own machines."""

    @resolved("Say what is so at a machine without a wire. The same word again changes nothing.")
    async def attend_machine(
        self,
        info: Info,
        node_id: strawberry.ID,
        build_id: strawberry.ID,
        says: Attendance,
        reason: str | None = None,
        material_mg: Int53 | None = None,
    ) -> AttendPayload:
        word = {"said": says.value, "reason": reason or "", "material_mg": material_mg}
        try:
            place, person = await allowed_at(info, ATTEND, node_id)
            told = {"build_id": str(build_id), "operator": str(person), **word}
            answer = await _said(info, place.bridge, {"node_id": place.node_id, **told})
        except ImeweError as error:
            return AttendPayload(node_id=node_id, problems=[problem_of(error)])
        return AttendPayload(
            node_id=strawberry.ID(place.node_id),
            fresh=bool(answer["fresh"]),
            execution=answer["execution"],
        )


async def _said(info: Info, bridge: str, word: dict[str, Any]) -> dict[str, Any]:
    """The trail first: without it nobody would know who said so."""
    await _record(info, BEGUN, word)
    try:
        answer = await info.context.gateway.attending.attend(bridge=bridge, word=word)
    except ImeweError as error:
        await _record_after(info, FAILED, word, error.message)
        raise
    await _record_after(info, DONE, word)
    return answer


async def _record(info: Info, outcome: str, word: dict[str, Any], reason: str = "") -> None:
    told = {
        "action": f"gateway.attend.{word['said']}",
        "outcome": outcome,
        "resource": f"build/{word['build_id'][:64]}",
    }
    context = info.context
    await context.gateway.trail.step(
        {**told, "reason": reason} if reason else told, context.caller.token
    )


async def _record_after(info: Info, outcome: str, word: dict[str, Any], reason: str = "") -> None:
    """Its beginning stands in the trail already, so nothing is held back for the end."""
    try:
        await _record(info, outcome, word, reason)
    except ImeweError as error:
        log.warning("the audit trail was not told", outcome=outcome, problem=error.message)


async def _attended(info: Info) -> Sequence[NodeView]:
    """The attended machines at which this person may say something."""
    context = info.context
    person = context.caller.person()
    permitted_places(ATTEND, person)
    found: list[NodeView] = []
    after: Cursor | None = None
    async with context.reads.use(nodes.READS) as connection:
        while True:
            page = await nodes.nodes(connection, context.scope, first=PAGE_LIMIT, after=after)
            found += [v for v in page.items if v.node.identity.get("dialect") == DRIVER]
            if not page.has_more:
                return [view for view in found if _may(info, view)]
            after = Cursor(page.items[-1].node.created)


def _may(info: Info, view: NodeView) -> bool:
    place = info.context.gateway.whereabouts.learn(view.node)
    try:
        demand_right(ATTEND, info.context.caller.person(), place)
    except ForbiddenError:
        return False
    return True


async def _tasks_of(info: Info, bridge: str) -> list[dict[str, Any]] | None:
    """``None`` when it does not answer, or not in our words: the others are shown all the same."""
    try:
        told = await info.context.gateway.attending.tasks(bridge=bridge)
    except ImeweError:
        return None
    return told if all(task.keys() >= TOLD for task in told) else None


def _shown(task: dict[str, Any], view: NodeView) -> AttendedTask:
    run = view.run
    known = run is not None and run.build_id == task["build_id"]
    return AttendedTask(
        node_id=strawberry.ID(view.node.id),
        node_name=view.node.name,
        build_id=strawberry.ID(task["build_id"]),
        program_name=run.program_name if run is not None and known else "",
        state=task["state"],
        ask=task["ask"],
        instructions=task["instructions"],
        file=task["file"],
        artifact_digest=task["digest"],
        waiting_s=task["waiting_s"],
    )
