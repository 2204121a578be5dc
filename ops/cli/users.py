"""`imewe users`: people and what they may do."""

from typing import Annotated, Any

import typer

from ops.cli.moments import AsOf, moment, tell
from ops.cli.reach import AsJson, done, group, nodes_of, opened, show

LIST = """query($then: AsOf) { accounts(first: 100, asOf: $then) {
  asOf { position time } edges { node {
  id name mail closed openedAt grants { role organisationId } } } } }"""
_ANSWER = "accountId position problems { code message field remedy }"
ADD = f"""mutation($mail: String!, $name: String!, $password: String!, $role: Role!) {{
  openAccount(mail: $mail, name: $name, password: $password, role: $role) {{ {_ANSWER} }} }}"""
GRANT = f"""mutation($id: ID!, $role: Role!) {{
  grantRole(accountId: $id, role: $role) {{ {_ANSWER} }} }}"""
REVOKE = f"""mutation($id: ID!, $role: Role!) {{
  revokeRole(accountId: $id, role: $role) {{ {_ANSWER} }} }}"""
TRAIL = """query($first: Int!, $before: String) {
  auditTrail(first: $first, before: $before) { edges { cursor node {
    sequence at actor action resource outcome reason address organisationId correlationId count hash
  } } pageInfo { hasNextPage endCursor } } }"""

app = group("People and what they may do.")
AccountId = Annotated[str, typer.Argument(help="The account's id.")]
RoleName = Annotated[
    str, typer.Argument(help="admin, designer, vendor, operator, viewer or auditor.")
]


@app.command("list")
def list_users(ctx: typer.Context, as_of: AsOf = None, *, as_json: AsJson = False) -> None:
    """List accounts and their roles; names and mails are shown to admins.

    Example: imewe users list --as-of 2026-01-12T10:30:00Z
    """
    with opened(ctx) as client:
        answer = client.execute(LIST, {"then": moment(as_of)})["accounts"]
    found = nodes_of(answer)
    tell(answer["asOf"])
    rows = [
        (a["id"], a["name"], a["mail"], _roles(a), a["openedAt"], "closed" if a["closed"] else "")
        for a in found
    ]
    headings = ("id", "name", "mail", "roles", "opened", "")
    show(found, as_json=as_json, headings=headings, rows=rows)


@app.command()
def add(
    ctx: typer.Context,
    mail: Annotated[str, typer.Argument(help="The person's mail.")],
    role: RoleName,
    name: Annotated[str | None, typer.Option(help="The person's name; else the mail.")] = None,
    *,
    password: Annotated[str | None, typer.Option(help="Asked for when left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Open an account with a first role.

    Example: imewe users add ada@example.org designer --name "Ada"
    """
    secret = password or typer.prompt("password", hide_input=True, confirmation_prompt=True)
    variables = {
        "mail": mail,
        "name": name or mail,
        "password": secret,
        "role": role.upper(),
    }
    with opened(ctx) as client:
        payload = client.command(ADD, variables)
    done(payload, f"Opened: {payload['accountId']}", as_json=as_json)


@app.command()
def grant(
    ctx: typer.Context, account_id: AccountId, role: RoleName, *, as_json: AsJson = False
) -> None:
    """Give a person a role.

    Example: imewe users grant 1f2e3d4c-5b6a-5978-8695-a4b3c2d1e0f9 operator
    """
    with opened(ctx) as client:
        payload = client.command(GRANT, {"id": account_id, "role": role.upper()})
    done(payload, f"May act as {role}", as_json=as_json)


@app.command()
def revoke(
    ctx: typer.Context, account_id: AccountId, role: RoleName, *, as_json: AsJson = False
) -> None:
    """Take a role away.

    Example: imewe users revoke 1f2e3d4c-5b6a-5978-8695-a4b3c2d1e0f9 operator
    """
    with opened(ctx) as client:
        payload = client.command(REVOKE, {"id": account_id, "role": role.upper()})
    done(payload, f"May not act as {role} any more", as_json=as_json)


@app.command()
def trail(
    ctx: typer.Context,
    first: Annotated[int, typer.Option(help="How many, 1 to 100.")] = 50,
    before: Annotated[str | None, typer.Option(help="Only what is older than this cursor.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List log-ins, and what was refused for want of a right, the newest first.

    For admins and auditors. With --json every entry names its cursor.

    Example: imewe users trail --first 20
    """
    with opened(ctx) as client:
        page = client.execute(TRAIL, {"first": first, "before": before})["auditTrail"]
    found = [{**edge["node"], "cursor": edge["cursor"]} for edge in page["edges"]]
    rows = [
        (e["at"], e["actor"], e["action"], e["resource"], e["outcome"], e["address"], e["count"])
        for e in found
    ]
    headings = ("at", "who", "what", "about", "outcome", "from", "times")
    show(found, as_json=as_json, headings=headings, rows=rows)
    if page["pageInfo"]["hasNextPage"]:
        cursor = page["pageInfo"]["endCursor"]
        typer.echo(f"Older ones: imewe users trail --before {cursor}", err=True)


def _roles(account: dict[str, Any]) -> str:
    return ", ".join(grant["role"].lower() for grant in account["grants"])
