"""`GET /v1/telemetry/node/{id}` and `/job/{id}`: what was measured, as the specification asks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse

from domain.shared.errors import InvalidInputError, NotFoundError
from domain.telemetry.channels import flat_metrics
from gateways.graphql.reads import Reads
from gateways.graphql.scalars import write_instant
from gateways.ports import Gateway
from gateways.rest.problems import MEDIA_TYPE
from gateways.security.bearer import caller
from projections.jobs import queries as jobs
from projections.querying import Connection
from projections.telemetry import queries
from projections.telemetry.partitions import milliseconds, moment
from projections.telemetry.rows import (
    MOST_POINTS,
    Asked,
    Gap,
    History,
    Resolution,
    Series,
    heard_lately,
)

HOUR = timedelta(hours=1)
EARLIEST = 1970
"""The year that Unix time begins in: readings have no other."""
MOST_BUILDS = 20
"""Of a job, the newest."""
_COLUMNS = tuple(field.name for field in fields(Series))
_PROBLEM: dict[str, Any] = {"content": {MEDIA_TYPE: {}}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {**_PROBLEM, "description": "No valid token"},
    404: {**_PROBLEM, "description": "There is none that you may know of"},
    422: {**_PROBLEM, "description": "A range that cannot be answered"},
    503: {**_PROBLEM, "description": "The read models do not answer"},
}
Channels = Annotated[
    list[str] | None,
    Query(description="Names, or beginnings with a dot; without any, temperatures.", max_length=40),
]
Fineness = Annotated[Resolution, Query(description="AUTO, RAW, SECOND or MINUTE.")]
Points = Annotated[int, Query(description="Of one channel, at most.", ge=2, le=MOST_POINTS)]


def telemetry_routes(gateway: Gateway) -> APIRouter:
    """The routes of telemetry."""
    router = APIRouter(prefix="/v1/telemetry", tags=["telemetry"], responses=_RESPONSES)

    @router.get("/node/{node_id}")
    async def of_node(
        request: Request,
        node_id: str,
        since: datetime | None = None,
        until: datetime | None = None,
        channel: Channels = None,
        resolution: Fineness = Resolution.AUTO,
        points: Points = MOST_POINTS,
    ) -> JSONResponse:
        """What a machine measured, by default in the last hour, and the six metrics of now."""
        scope = caller(request.headers.get("authorization"), gateway.verifier).scope()
        now = gateway.clock.now()
        end = _zoned(until, "until") or now
        begin = _zoned(since, "since") or end - HOUR
        asked = Asked(
            channels=tuple(channel or ["temperature."]),
            since=milliseconds(begin),
            until=milliseconds(end),
            resolution=resolution,
            most=points,
        )
        async with _reading(gateway) as connection:
            found = await queries.history(connection, scope, node_id, asked, cold=gateway.cold)
            known = await queries.channels(connection, scope, node_id)
        if found is None or known is None:
            raise NotFoundError(f"there is no machine {node_id[:64]}", field="node_id")
        metrics = flat_metrics(heard_lately(known[0], now=milliseconds(now)))
        return _success({**_shown(found), "metrics": metrics}, now)

    @router.get("/job/{job_id}")
    async def of_job(
        request: Request,
        job_id: str,
        channel: Channels = None,
        resolution: Fineness = Resolution.AUTO,
        points: Points = MOST_POINTS,
    ) -> JSONResponse:
        """What was measured while each build of a job ran, the oldest first."""
        scope = caller(request.headers.get("authorization"), gateway.verifier).scope()
        now = gateway.clock.now()
        asked = Asked(
            channels=tuple(channel or ["temperature."]),
            since=0,
            until=milliseconds(now),
            resolution=resolution,
            most=points,
        )
        shown = []
        async with _reading(gateway) as connection:
            if await jobs.job(connection, scope, job_id) is None:
                raise NotFoundError(f"there is no job {job_id[:64]}", field="job_id")
            builds = (await jobs.builds_of_jobs(connection, scope, [job_id]))[job_id]
            newest = builds[-MOST_BUILDS:]
            asked = replace(asked, charts=len(newest))
            for build in newest:
                found = await queries.of_build(
                    connection, scope, build.id, asked, cold=gateway.cold
                )
                if found is not None:
                    about = {"build_id": build.id, "attempt": build.attempt, "status": build.status}
                    shown.append({**about, **_shown(found[1])})
        return _success({"job_id": job_id, "builds": shown}, now)

    return router


@asynccontextmanager
async def _reading(gateway: Gateway) -> AsyncIterator[Connection]:
    reads = Reads(gateway.pool)
    try:
        async with reads.use(queries.READS) as connection:
            yield connection
    finally:
        await reads.close()


def _zoned(when: datetime | None, field: str) -> datetime | None:
    if when is not None and when.tzinfo is None:
        raise InvalidInputError(
            "a time needs its zone", field=field, remedy="for example 2026-01-12T10:30:00Z"
        )
    if when is not None and when.year < EARLIEST:
        raise InvalidInputError(f"nothing was measured before {EARLIEST}", field=field)
    return when


def _shown(found: History) -> dict[str, Any]:
    return {
        "node_id": found.node_id,
        "since": write_instant(moment(found.since)),
        "until": write_instant(moment(found.until)),
        "step_ms": found.step_ms,
        "series": [{name: getattr(each, name) for name in _COLUMNS} for each in found.series],
        "gaps": [_gap(each) for each in found.gaps],
    }


def _gap(gap: Gap) -> dict[str, Any]:
    since, until = write_instant(moment(gap.begun)), write_instant(moment(gap.ended))
    return {"since": since, "until": until, "cause": gap.cause, "readings": gap.readings}


def _success(data: dict[str, Any], now: datetime) -> JSONResponse:
    """The specification's envelope."""
    told = {"status": "success", "data": data, "timestamp": write_instant(now)}
    return JSONResponse(told, headers={"Cache-Control": "no-store"})
