"""Has the projections service do something, shows how far it is, and waits for the end."""

import time
from typing import Any

import typer

from domain.shared.errors import NotFoundError
from ops.cli.client import Client, error_of

LOOK_S = 0.25
OPERATION = "operation { name verb state phase done goal startedBy beganAt result error }"
BUILDS = "builds { schema version state position unattended startedBy changedAt error }"
STATUS = f"""{{ projections {{ logPosition automatic projections {{
  name releaseVersion version schema position parked staleSince tables
  {BUILDS} {OPERATION} }} }} }}"""
PAYLOAD = f"{{ {OPERATION} problems {{ code message field remedy }} }}"


def finished(
    client: Client, mutation: str, asked: dict[str, str], *, as_json: bool
) -> dict[str, Any]:
    """Have it done and wait for the end; its result. Raises what the service refuses."""
    declared = ", ".join(f"${each}: String!" for each in asked)
    handed = ", ".join(f"{each}: ${each}" for each in asked)
    document = f"mutation({declared}) {{ {mutation}({handed}) {PAYLOAD} }}"
    operation = client.command(document, asked)["operation"]
    said = ""
    while operation["state"] == "RUNNING":
        words = _progress(operation)
        if words != said and not as_json:
            said = words
            typer.echo(words, err=True)
        time.sleep(LOOK_S)
        operation = _operation(client, asked["name"])
    if operation["state"] == "FAILED":
        raise error_of(operation["error"])
    return dict(operation["result"])


def _operation(client: Client, name: str) -> dict[str, Any]:
    for each in client.execute(STATUS)["projections"]["projections"]:
        if each["name"] == name and each["operation"]:
            return dict(each["operation"])
    raise NotFoundError(f"nothing is known of {name} any more", field="name")


def _progress(operation: dict[str, Any]) -> str:
    done, goal = operation["done"], operation["goal"]
    share = f" {done} of {goal} ({100 * done // goal} %)" if goal else ""
    return f"{operation['name']}: {operation['phase'] or operation['verb']}{share}"
