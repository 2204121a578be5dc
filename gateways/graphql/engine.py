"""Runs operations and puts their outcome into bytes. No inner detail leaves by an error."""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import structlog
from graphql import FieldNode, GraphQLError
from strawberry.schema.exceptions import CannotGetOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from domain.shared.errors import ImeweError, InvalidInputError
from gateways.graphql.context import Context
from gateways.graphql.schema import Schema
from gateways.ports import Gateway
from gateways.security.bearer import Caller

_DID_YOU_MEAN = re.compile(r" Did you mean .*\?")
"""graphql-core's suggestions would show the schema piece by piece."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a client asks for."""

    query: str
    variables: dict[str, Any] = field(default_factory=dict)
    operation_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``executed`` is false when nothing ran: the request itself was wrong.

    ``position``: where a log-like subscription has come to.
    """

    body: bytes
    executed: bool
    position: int | None = None


class Engine:
    """One schema over one gateway."""

    def __init__(self, schema: Schema, gateway: Gateway) -> None:
        self._schema = schema
        self._gateway = gateway
        self._discreet = gateway.production

    async def run(self, operation: Operation, caller: Caller) -> Outcome:
        """Run a query or a mutation."""
        context = Context(self._gateway, caller, operation_name=operation.operation_name)
        try:
            result = await self._schema.execute(
                operation.query,
                variable_values=operation.variables,
                context_value=context,
                operation_name=operation.operation_name,
            )
            return self._outcome(result, context)
        except CannotGetOperationTypeError as error:
            wrong = InvalidInputError(error.as_http_error_reason(), field="operationName")
            return Outcome(body=refused(wrong), executed=False)
        finally:
            await context.release()

    async def stream(self, operation: Operation, caller: Caller) -> AsyncGenerator[Outcome, None]:
        """Run any operation; a subscription gives many outcomes, all others one."""
        context = Context(self._gateway, caller, operation_name=operation.operation_name)
        try:
            results = await self._schema.stream(
                operation.query,
                variable_values=operation.variables,
                context_value=context,
                operation_name=operation.operation_name,
            )
            async with aclosing(results):
                async for result in results:
                    outcome = replace(self._outcome(result, context), position=context.position)
                    await context.release()  # while the client is slow, nobody else waits
                    yield outcome
        except GraphQLError as error:  # what cannot be parsed is raised here and not told
            yield self._outcome(PreExecutionError(data=None, errors=[error]), context)
        finally:
            await context.release()

    def _outcome(self, result: object, context: Context) -> Outcome:
        if not isinstance(result, ExecutionResult | PreExecutionError):
            raise TypeError("results in increments are not switched on")
        errors = result.errors or []
        shown: dict[str, Any] = {}
        if errors:
            shown["errors"] = [self._shown(error, context) for error in errors]
        executed = not isinstance(result, PreExecutionError) and not _wrong_variables(result)
        if executed:
            shown["data"] = result.data
        return Outcome(body=orjson.dumps(shown), executed=executed)

    def _shown(self, error: GraphQLError, context: Context) -> dict[str, Any]:
        cause = error.original_error
        while isinstance(cause, GraphQLError):
            cause = cause.original_error
        if cause is None:
            message = _DID_YOU_MEAN.sub("", error.message) if self._discreet else error.message
            code = {"code": "GRAPHQL_VALIDATION_FAILED"}
            return {**error.formatted, "message": message, "extensions": code}
        if isinstance(cause, ImeweError):
            context.tell_denial(cause, action=f"read {_field(error)}")
            return {**error.formatted, "message": cause.message, "extensions": told(cause)}
        log.error("resolver failed", path=error.path, exc_info=cause)
        return {
            **error.formatted,
            "message": "Something went wrong on our side",
            "extensions": {"code": "INTERNAL"},
        }


def _field(error: GraphQLError) -> str:
    """The schema's name of the field that failed; the client may have called it anything."""
    found = [node.name.value for node in error.nodes or () if isinstance(node, FieldNode)]
    return next(iter(found), "")


def told(error: ImeweError) -> dict[str, Any]:
    """A refusal as the extensions of a GraphQL error: ``code``, and ``problem`` in full."""
    return {
        "code": error.code,
        "problem": {
            "code": error.code,
            "message": error.message,
            "field": error.field,
            "remedy": error.remedy,
        },
    }


def refused(error: ImeweError) -> bytes:
    """The body of a request that was refused as a whole."""
    return orjson.dumps({"errors": [{"message": error.message, "extensions": told(error)}]})


def _wrong_variables(result: ExecutionResult) -> bool:
    """Variables are coerced inside the execution, before any field runs: no error has a path."""
    return result.data is None and all(error.path is None for error in result.errors or [])
