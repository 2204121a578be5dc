"""GraphQL over HTTP: POST with ``application/json`` and nothing else.

Other content types could be sent across sites without asking (CSRF), so they are refused, and so
are GET and batches. A client that takes ``application/graphql-response+json`` gets status codes
that tell a wrong request from an answered one, as the GraphQL over HTTP specification wants.
"""

from http import HTTPStatus
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from domain.shared.errors import ImeweError, InvalidInputError, UnauthenticatedError
from gateways.graphql.engine import Engine, Operation, refused
from gateways.ports import Gateway
from gateways.rest.problems import TooLargeError
from gateways.security.bearer import Caller, address_of, caller

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"


class GraphQLEndpoint:
    """The handler of ``POST /graphql``."""

    def __init__(self, engine: Engine, gateway: Gateway) -> None:
        self._engine = engine
        self._gateway = gateway

    async def answer(self, request: Request) -> Response:
        """Answer one operation."""
        media = _media_type(request)
        if media is None:
            return Response(
                f"this endpoint gives {GRAPHQL_RESPONSE} or {JSON}", HTTPStatus.NOT_ACCEPTABLE
            )
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            return _refusal(
                InvalidInputError(f"send {JSON}", field="content-type"),
                media,
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            )
        try:
            operation = read_operation(await self._body(request))
            asked_by = caller(
                request.headers.get("authorization"),
                self._gateway.verifier,
                address=address_of(request),
            )
        except UnauthenticatedError as error:
            stranger = Caller(address=address_of(request))
            self._gateway.denials.report(error, stranger, action="graphql")
            return _refusal(error, media, HTTPStatus.UNAUTHORIZED)
        except TooLargeError as error:
            return _refusal(error, media, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except InvalidInputError as error:
            return _refusal(error, media, HTTPStatus.BAD_REQUEST)
        outcome = await self._engine.run(operation, asked_by)
        strict = media == GRAPHQL_RESPONSE and not outcome.executed
        status = HTTPStatus.BAD_REQUEST if strict else HTTPStatus.OK
        return Response(outcome.body, status, media_type=media, headers=_HEADERS)

    async def _body(self, request: Request) -> bytes:
        limit = self._gateway.body_limit_bytes
        body = bytearray()
        try:
            async for piece in request.stream():
                body += piece
                if len(body) > limit:
                    raise TooLargeError(f"the body is larger than {limit} bytes", field="body")
        except ClientDisconnect:
            raise InvalidInputError("the body is cut off", field="body") from None
        return bytes(body)


def read_operation(body: bytes) -> Operation:
    """What a body asks for. Raises ``InvalidInputError``."""
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidInputError("the body is not JSON", field="body") from None
    if isinstance(asked, list):
        raise InvalidInputError("batches are not taken; send one operation", field="body")
    if not isinstance(asked, dict):
        raise InvalidInputError("the body must be a JSON object", field="body")
    query = _member(asked, "query", str, needed=True)
    if not query.strip():
        raise InvalidInputError("query is empty", field="query")
    return Operation(
        query=query,
        variables=_member(asked, "variables", dict) or {},
        operation_name=_member(asked, "operationName", str),
    )


def _member(asked: dict[str, Any], name: str, kind: type[Any], *, needed: bool = False) -> Any:
    value = asked.get(name)
    if value is None and not needed:
        return None
    if not isinstance(value, kind):
        words = "a string" if kind is str else "an object"
        raise InvalidInputError(f"{name} must be {words}", field=name)
    return value


_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def _media_type(request: Request) -> str | None:
    """What the client takes, by its own order of wishes; JSON when it says nothing."""
    accepted = request.headers.get("accept")
    if not accepted:
        return JSON
    for wish in _wishes(accepted):
        if wish in (JSON, GRAPHQL_RESPONSE):
            return wish
        if wish in ("*/*", "application/*"):
            return JSON
    return None


def _wishes(accepted: str) -> list[str]:
    weighted = []
    for entry in accepted.lower().split(","):
        name, *parameters = [word.strip() for word in entry.split(";")]
        weights = [word[2:] for word in parameters if word.startswith("q=")]
        try:
            weight = float(weights[0]) if weights else 1.0
        except ValueError:
            weight = 0.0
        if weight > 0:
            weighted.append((-weight, name))
    return [name for _, name in sorted(weighted, key=lambda entry: entry[0])]


def _refusal(error: ImeweError, media: str, status: HTTPStatus) -> Response:
    headers = dict(_HEADERS)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(refused(error), status, media_type=media, headers=headers)
