"""Read models built anew, compared, switched and rolled back; the service checks the right."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any

import strawberry

from domain.shared.errors import ImeweError
from gateways.graphql.context import Info
from gateways.graphql.fields import resolved, watched
from gateways.graphql.payloads import Payload
from gateways.graphql.problems import problem_of
from gateways.graphql.scalars import Position
from gateways.graphql.types.projections import (
    ParkedKey,
    Projection,
    ProjectionDiff,
    ProjectionOperation,
    ProjectionOverview,
    ProjectionPlan,
)

SERVICE = "projections"
PROGRESS = "progress"
"""What the live hub calls announcements of progress."""

Name = Annotated[str, strawberry.argument(description="The projection's name.")]
MUTATIONS = frozenset(
    f"{verb}Projection" for verb in ("build", "diff", "switch", "rollback", "rebuild")
) | {"dropProjectionSchema", "retryParked"}
"""They send no command: nothing of this is an event of the shop."""


@strawberry.type(description="About a read model. It is no command: it has no position.")
class ProjectionPayload(Payload):
    operation: ProjectionOperation | None = strawberry.field(
        default=None, description="What was done, or is still being done."
    )


@strawberry.type
class ProjectionQuery:
    """For admins."""

    @resolved("How far the read models are, and what lies beside them. For admins.")
    async def projections(self, info: Info) -> ProjectionOverview:
        told = await _ask(info, "status")
        return ProjectionOverview(
            log_position=Position(told["log"]),
            automatic=told["automatic"],
            projections=[Projection.of(each) for each in told["projections"]],
        )

    @resolved("What building a read model anew would do. For admins.")
    async def projection_plan(self, info: Info, name: Name) -> ProjectionPlan:
        return ProjectionPlan.of(await _ask(info, "plan", name=name))

    @resolved("Objects whose events could not be folded. For admins.")
    async def parked_keys(self, info: Info, name: str = "") -> list[ParkedKey]:
        told = await _ask(info, "parked", name=name)
        return [ParkedKey.of(each) for each in told["parked"]]

    @resolved(
        "The last diff of a read model: counts by table, and rows with the events that explain"
        " them. Of names a table; without it, the first rows of every table. For admins."
    )
    async def projection_diff(
        self, info: Info, name: Name, of: str = "", first: int = 20, after: int = 0
    ) -> ProjectionDiff:
        told = await _ask(info, "differences", name=name, of=of, first=first, after=after)
        return ProjectionDiff.of(told)


@strawberry.type
class ProjectionMutation:
    """For admins. Each answers when it is done, or after some seconds with what is going on."""

    @resolved("Fold the log into a candidate beside the read model in use.")
    async def build_projection(self, info: Info, name: Name) -> ProjectionPayload:
        return await _do(info, "build", name=name)

    @resolved("Compare the candidate with the read model in use, both at one position.")
    async def diff_projection(self, info: Info, name: Name) -> ProjectionPayload:
        return await _do(info, "diff", name=name)

    @resolved("Let readers look at the candidate; the schema before is kept up to date.")
    async def switch_projection(self, info: Info, name: Name) -> ProjectionPayload:
        return await _do(info, "switch", name=name)

    @resolved("Let readers look at the schema before again.")
    async def rollback_projection(self, info: Info, name: Name) -> ProjectionPayload:
        return await _do(info, "rollback", name=name)

    @resolved("Drop a schema that readers do not see, once nobody reads it any more.")
    async def drop_projection_schema(
        self, info: Info, name: Name, schema: str = ""
    ) -> ProjectionPayload:
        return await _do(info, "drop", name=name, schema=schema)

    @resolved("Build, switch and drop in one.")
    async def rebuild_projection(self, info: Info, name: Name) -> ProjectionPayload:
        return await _do(info, "rebuild", name=name)

    @resolved("Fold the events of parked objects again, once the fault is repaired.")
    async def retry_parked(self, info: Info, name: Name, key: str = "") -> ProjectionPayload:
        return await _do(info, "retry", name=name, key=key)


@strawberry.type
class ProjectionSubscription:
    """For admins."""

    @watched("What is being done to a read model, whenever it is further. For admins.")
    async def projection_progress(
        self, info: Info, name: Name
    ) -> AsyncGenerator[ProjectionOperation, None]:
        seen: Any = None
        with info.context.gateway.live.watching(PROGRESS, name) as watch:
            while True:
                told = (await _ask(info, "operation", name=name))["operation"]
                if told is not None and told != seen:
                    seen = told
                    shown = ProjectionOperation.of(told)
                    if shown is not None:
                        yield shown
                await info.context.release()
                await watch.changed()


async def _do(info: Info, verb: str, **payload: Any) -> ProjectionPayload:
    try:
        told = await _ask(info, verb, **payload)
    except ImeweError as error:
        resource = f"projection/{payload['name'][:80]}"
        info.context.tell_denial(error, action=f"projections.{verb}", resource=resource)
        return ProjectionPayload(problems=[problem_of(error)])
    return ProjectionPayload(operation=ProjectionOperation.of(told["operation"]))


async def _ask(info: Info, verb: str, **payload: Any) -> dict[str, Any]:
    caller = info.context.caller
    caller.person()
    administration = info.context.gateway.administration
    return await administration.ask(SERVICE, verb, payload, token=caller.token)
