"""From a mutation to the commands service and back. Resolvers hold no rules."""

from typing import Any, TypeVar

from domain.shared.errors import ImeweError, InvalidInputError, UnauthenticatedError
from gateways.graphql.context import Info
from gateways.graphql.payloads import Payload
from gateways.graphql.problems import problem_of
from gateways.graphql.scalars import Position

P = TypeVar("P", bound=Payload)


async def command(
    info: Info,
    kind: type[P],
    name: str,
    payload: dict[str, Any],
    *,
    command_id: str | None,
    organisation_id: str | None = None,
    **told: str,
) -> P:
    """Send a command for the caller.

    ``told`` maps fields of the payload to names in the answer. A refusal is a value: nothing is
    raised for what is expected to happen.
    """
    gateway, caller = info.context.gateway, info.context.caller
    name_of_it = command_id or gateway.new_id()
    values: dict[str, Any] = {"command_id": name_of_it}
    try:
        caller.person()
        _check_id(name_of_it)
    except InvalidInputError as error:
        return kind(problems=[problem_of(error)])
    except UnauthenticatedError as error:
        info.context.tell_denial(error, action=name)
        return kind(problems=[problem_of(error)], **values)
    try:
        answer = await gateway.commands.send(
            name,
            payload,
            command_id=name_of_it,
            token=caller.token,
            organisation_id=organisation_id or "",
            address=caller.address,
        )
    except ImeweError as error:
        return kind(problems=[problem_of(error)], **values)
    values |= {field: answer.get(told_as) for field, told_as in told.items()}
    return kind(position=Position(answer["position"]), **values)


def _check_id(command_id: str) -> None:
    """It becomes a header, where blanks at the ends and control characters would be lost."""
    if command_id != command_id.strip() or not command_id.isprintable():
        raise InvalidInputError(
            "A command id has no control characters and no blanks at its ends.",
            field="command_id",
            remedy="Use a UUID.",
        )
