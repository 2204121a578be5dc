"""Refusals as typed values: a mutation answers with them, it does not raise them."""

from typing import Final

import strawberry
from strawberry.utils.str_converters import to_camel_case

from domain.shared.errors import (
    BedNotClearError,
    ConflictError,
    DuplicateCommandError,
    ForbiddenError,
    IllegalTransitionError,
    ImeweError,
    InsufficientMaterialError,
    InvalidInputError,
    NodeUnavailableError,
    NotFoundError,
    StaleEpochError,
    StorageFullError,
    UnauthenticatedError,
    UnavailableError,
)


@strawberry.interface(description="Why something was refused. Nothing was done.")
class Problem:
    code: str = strawberry.field(description="Stable; programs may rely on it.")
    message: str = strawberry.field(description="What is wrong, for the person who asked.")
    field: str = strawberry.field(description="The input at fault, or empty.")
    remedy: str = strawberry.field(description="What to do about it, or empty.")


@strawberry.type(description="A value that can never be accepted; field names it.")
class InvalidInput(Problem):
    pass


@strawberry.type(description="No such object, or not one that you may know of.")
class NotFound(Problem):
    pass


@strawberry.type(description="The object's state does not allow this.")
class IllegalTransition(Problem):
    pass


@strawberry.type(description="Somebody else changed the object first: read again, decide again.")
class Conflict(Problem):
    pass


@strawberry.type(description="The command id was used before for another request.")
class CommandIdReused(Problem):
    pass


@strawberry.type(description="No token, or one that is expired, revoked or not ours.")
class Unauthenticated(Problem):
    pass


@strawberry.type(description="You are known and may not do this.")
class Forbidden(Problem):
    pass


@strawberry.type(description="The lot does not hold the quantity asked for.")
class InsufficientMaterial(Problem):
    pass


@strawberry.type(description="The node cannot take this now.")
class NodeUnavailable(Problem):
    pass


@strawberry.type(description="Nothing starts on an uncleared bed.")
class BedNotClear(Problem):
    pass


@strawberry.type(description="The fencing epoch has been passed by a later reservation.")
class StaleEpoch(Problem):
    pass


@strawberry.type(description="A part of the system cannot answer now; the same may be sent again.")
class Unavailable(Problem):
    pass


@strawberry.type(description="The log has no space; nothing was recorded.")
class StorageFull(Problem):
    pass


@strawberry.type(description="A refusal that has no type of its own; read its code.")
class OtherProblem(Problem):
    pass


TYPES: dict[str, type[Problem]] = {
    InvalidInputError.code: InvalidInput,
    NotFoundError.code: NotFound,
    IllegalTransitionError.code: IllegalTransition,
    ConflictError.code: Conflict,
    DuplicateCommandError.code: CommandIdReused,
    UnauthenticatedError.code: Unauthenticated,
    ForbiddenError.code: Forbidden,
    InsufficientMaterialError.code: InsufficientMaterial,
    NodeUnavailableError.code: NodeUnavailable,
    BedNotClearError.code: BedNotClear,
    StaleEpochError.code: StaleEpoch,
    UnavailableError.code: Unavailable,
    StorageFullError.code: StorageFull,
}


_NAMED: Final = {"density_ug_per_mm3": "density", "material": "material_type"}
"""Fields of commands that have another name in the schema."""


def problem_of(error: ImeweError) -> Problem:
    """The typed value of a refusal."""
    kind = TYPES.get(error.code, OtherProblem)
    return kind(
        code=error.code,
        message=error.message,
        field=".".join(to_camel_case(_NAMED.get(s, s)) for s in error.field.split(".")),
        remedy=error.remedy,
    )
