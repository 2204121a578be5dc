"""Refusals over HTTP: ``application/problem+json`` (RFC 9457) with our stable codes."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Route

from commands.tokens import Verifier
from domain.shared.errors import (
    ConflictError,
    DuplicateCommandError,
    ForbiddenError,
    IllegalTransitionError,
    ImeweError,
    InvalidInputError,
    NotFoundError,
    StorageFullError,
    UnauthenticatedError,
    UnavailableError,
)
from gateways.ports import Gateway
from gateways.security.bearer import Caller, address_of, caller

MEDIA_TYPE = "application/problem+json"


class TooLargeError(InvalidInputError):
    """More bytes than this system takes."""

    code = "TOO_LARGE"


STATUS: tuple[tuple[type[ImeweError], HTTPStatus], ...] = (
    (TooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (InvalidInputError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (UnauthenticatedError, HTTPStatus.UNAUTHORIZED),
    (ForbiddenError, HTTPStatus.FORBIDDEN),
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (ConflictError, HTTPStatus.CONFLICT),
    (DuplicateCommandError, HTTPStatus.CONFLICT),
    (IllegalTransitionError, HTTPStatus.CONFLICT),
    (StorageFullError, HTTPStatus.INSUFFICIENT_STORAGE),
    (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
)
"""The first row whose class fits; a refusal that no row names is a conflict with some state."""

log = structlog.get_logger()


def status_of(error: ImeweError) -> HTTPStatus:
    """The status that says the same as the refusal."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), HTTPStatus.CONFLICT)


def problem(status: int, *, code: str, detail: str, **members: str) -> JSONResponse:
    """A problem document; empty members are left out."""
    shown: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
        **{name: value for name, value in members.items() if value},
    }
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    return JSONResponse(shown, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def refusal(error: ImeweError) -> JSONResponse:
    """The problem document of a typed refusal."""
    return problem(
        status_of(error),
        code=error.code,
        detail=error.message,
        field=error.field,
        remedy=error.remedy,
    )


def answer_with_problems(app: FastAPI, gateway: Gateway) -> None:
    """Let every error of the application leave it as problem+json, without inner details."""
    app.add_exception_handler(ImeweError, _on_refusal(gateway))
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Exception, _on_failure)


def _on_refusal(gateway: Gateway) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    async def on_refusal(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ImeweError)  # noqa: S101 the handler is registered for this class
        route = request.scope.get("route")
        path = route.path if isinstance(route, Route) else ""
        gateway.denials.report(
            error, _caller(request, gateway.verifier), action=f"{request.method} {path}"
        )
        return refusal(error)

    return on_refusal


def _caller(request: Request, verifier: Verifier) -> Caller:
    """Who was refused, perhaps because nothing shows who it is."""
    address = address_of(request)
    try:
        return caller(request.headers.get("authorization"), verifier, address=address)
    except UnauthenticatedError:
        return Caller(address=address)


async def _on_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    code = HTTPStatus(error.status_code).name
    answer = problem(error.status_code, code=code, detail=str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _on_invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    first = error.errors()[0]
    field = ".".join(str(step) for step in first["loc"])
    return problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, code="INVALID_INPUT", detail=first["msg"], field=field
    )


async def _on_failure(request: Request, error: Exception) -> JSONResponse:
    log.error("request failed", path=request.url.path, exc_info=error)
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR, code="INTERNAL", detail="Something went wrong on our side"
    )
