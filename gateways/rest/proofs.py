"""``GET /v1/audit/export``: a proof file for who audits, made while it is sent."""

import zlib
from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from gateways.ports import Gateway
from gateways.rest.problems import MEDIA_TYPE
from gateways.security.bearer import caller

SERVICE = "notary"

_PROBLEM: dict[str, Any] = {"content": {MEDIA_TYPE: {}}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {**_PROBLEM, "description": "No valid token"},
    403: {**_PROBLEM, "description": "You do not audit all that it would show"},
    404: {**_PROBLEM, "description": "No such job in your organisations, or nothing signed yet"},
    422: {**_PROBLEM, "description": "A range that the log does not hold"},
    503: {**_PROBLEM, "description": "The notary does not answer"},
}


def proof_routes(gateway: Gateway) -> APIRouter:
    """The route of proof files."""
    router = APIRouter(prefix="/v1/audit", tags=["audit"])

    @router.get("/export", responses=_RESPONSES)
    async def export(
        request: Request,
        job: Annotated[str, Query(max_length=60)] = "",
        first: Annotated[int | None, Query(alias="from", ge=1, lt=1 << 63)] = None,
        last: Annotated[int | None, Query(alias="to", ge=1, lt=1 << 63)] = None,
    ) -> Response:
        """A job, or the events from one position to another, with what proves them.

        Check it with the standalone verifier: `imewe audit verifier > verify_imewe.py`. A file
        without its last line was cut off.
        """
        asked = {
            **({"job": job} if job else {}),
            **({"from": first} if first else {}),
            **({"to": last} if last else {}),
        }
        token = _token(request, gateway)
        parts = _parts(gateway, asked, token)
        begin = await anext(parts)  # refusals come before the first byte
        name = f"job-{job}" if job else f"events-{first or 1}"
        return StreamingResponse(
            _all(begin, parts),
            media_type="application/x-ndjson",
            headers={
                "Content-Disposition": f'attachment; filename="{name}.imewe-proof.jsonl"',
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
            },
        )

    return router


def _token(request: Request, gateway: Gateway) -> str:
    asking = caller(request.headers.get("authorization"), gateway.verifier)
    asking.person()
    return asking.token


async def _parts(gateway: Gateway, asked: dict[str, Any], token: str) -> AsyncIterator[bytes]:
    """Pieces that are not empty; the notary says when it needs more time."""
    ask = gateway.administration.ask
    begun = await ask(SERVICE, "export", asked, token=token)
    done = False
    while not done:
        answer = await ask(SERVICE, "export_more", begun, token=token)
        done = answer["done"]
        if data := zlib.decompress(b64decode(answer["data"])):
            yield data


async def _all(begin: bytes, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield begin
    async for part in parts:
        yield part
