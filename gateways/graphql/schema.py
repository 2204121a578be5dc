"""The schema; its SDL is checked in as ``schema/graphql/schema.graphql``."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import strawberry
from graphql import GraphQLError, NoSchemaIntrospectionCustomRule, OperationDefinitionNode
from graphql.validation import ASTValidationRule
from strawberry.extensions import (
    AddValidationRules,
    MaxTokensLimiter,
    ParserCache,
    SchemaExtension,
    ValidationCache,
)
from strawberry.extensions.max_aliases import create_validator as alias_rule
from strawberry.extensions.query_depth_limiter import create_validator as depth_rule
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from gateways.graphql import problems
from gateways.graphql.mutation import Mutation
from gateways.graphql.query import Query
from gateways.graphql.scalars import SCALARS
from gateways.graphql.subscription import Subscription

DEPTH_LIMIT = 12
ALIAS_LIMIT = 30
TOKEN_LIMIT = 2000
REMEMBERED_DOCUMENTS = 256

_RULES: list[type[ASTValidationRule]] = [depth_rule(DEPTH_LIMIT, None), alias_rule(ALIAS_LIMIT)]
_PRODUCTION_RULES = [*_RULES, NoSchemaIntrospectionCustomRule]
"""Built once: a rule class made for each request would never match the cache of validations."""


class Schema(strawberry.Schema):
    """Our own logging of errors stands in ``engine``."""

    def process_errors(
        self, errors: list[Any], execution_context: ExecutionContext | None = None
    ) -> None:
        """Nothing: the engine knows which errors are expected."""


class OneOperation(SchemaExtension):
    """Of several operations, the client must name the one it means; guessing could be costly."""

    def on_validate(self) -> Iterator[None]:
        """Add the error to those that were found."""
        asked = self.execution_context
        document = asked.graphql_document
        if document is not None and asked.context.operation_name is None:
            found = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
            if len(found) > 1:
                unclear = GraphQLError("Say by operationName which of the operations you mean.")
                asked.pre_execution_errors = [*(asked.pre_execution_errors or []), unclear]
        yield


@cache
def build_schema(*, production: bool = False) -> Schema:
    """With limits and caches. In production the schema is not shown to strangers."""
    rules = _PRODUCTION_RULES if production else _RULES
    return Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[*problems.TYPES.values(), problems.OtherProblem],
        config=StrawberryConfig(auto_camel_case=True, scalar_map=SCALARS),
        extensions=[
            lambda: MaxTokensLimiter(TOKEN_LIMIT),
            lambda: AddValidationRules(rules),
            lambda: ParserCache(REMEMBERED_DOCUMENTS),
            lambda: ValidationCache(REMEMBERED_DOCUMENTS),
            OneOperation,
        ],
    )


schema = build_schema()
