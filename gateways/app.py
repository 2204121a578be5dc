"""The gateway as one ASGI application."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from fastapi import FastAPI
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute

from gateways.graphql.engine import Engine
from gateways.graphql.http import GraphQLEndpoint
from gateways.graphql.schema import build_schema
from gateways.graphql.websocket import Sockets
from gateways.ports import Gateway
from gateways.rest.artifacts import artifact_routes
from gateways.rest.problems import answer_with_problems
from gateways.rest.proofs import proof_routes
from gateways.rest.telemetry import telemetry_routes

TITLE = "Imewe"


def create_app(gateway: Gateway, *, version: str = "0") -> FastAPI:
    """Everything the gateway serves: ``/graphql``, ``/v1`` and ``/healthz``."""
    engine = Engine(build_schema(production=gateway.production), gateway)
    sockets = Sockets(engine, gateway)

    app = FastAPI(
        title=TITLE,
        version=version,
        docs_url=None,
        redoc_url=None,
        openapi_url=None if gateway.production else "/v1/openapi.json",
    )
    answer_with_problems(app, gateway)
    app.include_router(artifact_routes(gateway))
    app.include_router(proof_routes(gateway))
    app.include_router(telemetry_routes(gateway))
    app.add_api_route("/healthz", _health(gateway), include_in_schema=False)
    endpoint = GraphQLEndpoint(engine, gateway)
    app.router.routes.append(Route("/graphql", endpoint.answer, methods=["POST"]))
    app.router.routes.append(WebSocketRoute("/graphql", sockets.serve))
    return app


def _health(gateway: Gateway) -> Callable[[], Awaitable[JSONResponse]]:
    async def health() -> JSONResponse:
        """200 while everything can be reached, else 503 and what cannot."""
        missing = gateway.health()
        status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
        return JSONResponse({"ok": not missing, "unreachable": missing}, status_code=status)

    return health
