"""Files: ``POST /v1/artifacts`` takes one, ``GET /v1/artifacts/{digest}`` gives it back."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response, StreamingResponse

from commands.authorisation import rules_for
from commands.principal import Principal
from domain.ports import ArtifactRef
from domain.shared.errors import InvalidInputError, NotFoundError
from gateways.graphql.scalars import write_instant
from gateways.ports import Gateway
from gateways.rest.multipart import read_file
from gateways.rest.problems import MEDIA_TYPE, TooLargeError
from gateways.security.bearer import caller

FORM_OVERHEAD_BYTES = 64 * 1024
"""What a form may be longer than the file in it."""
ORDER = "SubmitJob"
"""Who may order parts may bring the files for them."""

_PROBLEM: dict[str, Any] = {"content": {MEDIA_TYPE: {}}}
_UPLOAD_RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {**_PROBLEM, "description": "No valid token"},
    403: {**_PROBLEM, "description": "You may not order parts"},
    413: {**_PROBLEM, "description": "The file is larger than this system takes"},
    422: {**_PROBLEM, "description": "An empty, cut off or unknown file"},
    503: {**_PROBLEM, "description": "The file store does not answer"},
    507: {**_PROBLEM, "description": "The file store is full"},
}
_UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


def artifact_routes(gateway: Gateway) -> APIRouter:
    """The routes of stored files."""
    router = APIRouter(prefix="/v1/artifacts", tags=["artifacts"])

    @router.post("", status_code=201, responses=_UPLOAD_RESPONSES, openapi_extra=_UPLOAD_BODY)
    async def upload(request: Request) -> Response:
        """Store an STL, OBJ or G-code file; the same bytes again give the same digest."""
        person = _person(request, gateway)
        place = person.place(request.headers.get("imewe-organisation", ""))
        rules_for(ORDER, person, place)
        _refuse_too_long(request, gateway.upload_limit_bytes)
        body = _body(request, gateway.upload_limit_bytes)
        file = await read_file(request.headers.get("content-type", ""), body)
        ref = await gateway.artifacts.put(file.chunks, organisation_id=place, name=file.name)
        return _success(ref, write_instant(gateway.clock.now()))

    @router.get(
        "/{digest}",
        responses={
            401: {**_PROBLEM, "description": "No valid token"},
            404: {**_PROBLEM, "description": "No such file in your organisations"},
        },
    )
    async def download(request: Request, digest: str) -> Response:
        """The bytes of a stored file; what is damaged is cut off, never given whole."""
        ref, place = await _find(_person(request, gateway), digest, gateway)
        return StreamingResponse(
            gateway.artifacts.open(ref.digest, organisation_id=place),
            media_type="application/octet-stream",
            headers={
                "Content-Length": str(ref.size),
                "Content-Disposition": f"attachment; filename*=UTF-8''{quote(ref.name, safe='')}",
                "ETag": f'"{ref.digest}"',
                "Cache-Control": "private, max-age=31536000, immutable",
                "X-Content-Type-Options": "nosniff",
            },
        )

    return router


def _person(request: Request, gateway: Gateway) -> Principal:
    return caller(request.headers.get("authorization"), gateway.verifier).person()


def _refuse_too_long(request: Request, limit: int) -> None:
    """Before a byte is read, when the client says how much will come."""
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > limit + FORM_OVERHEAD_BYTES:
        raise _too_large(limit)


async def _body(request: Request, limit: int) -> AsyncIterator[bytes]:
    taken = 0
    try:
        async for piece in request.stream():
            taken += len(piece)
            if taken > limit + FORM_OVERHEAD_BYTES:
                raise _too_large(limit)
            if piece:
                yield piece
    except ClientDisconnect:
        raise InvalidInputError("the upload is cut off", field="file") from None


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(
        f"the file is larger than the {limit} bytes this system takes",
        field="file",
        remedy="reduce the mesh, or ask an administrator to raise the limit",
    )


async def _find(person: Principal, digest: str, gateway: Gateway) -> tuple[ArtifactRef, str]:
    """In the first of the person's organisations that has it."""
    for place in person.scope.organisations:
        try:
            return await gateway.artifacts.info(digest, organisation_id=place), place
        except NotFoundError:
            continue
    raise NotFoundError(f"there is no file {digest[:64]}", field="digest")


def _success(ref: ArtifactRef, now: str) -> JSONResponse:
    stored = {"digest": ref.digest, "size": ref.size, "format": ref.format, "name": ref.name}
    return JSONResponse(
        {"status": "success", "data": stored, "timestamp": now},
        status_code=201,
        headers={"Location": f"/v1/artifacts/{ref.digest}"},
    )
