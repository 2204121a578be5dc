"""`imewe audit`: what the log's notary signed, with which keys, and whether all is well."""

from typing import Annotated, Any

import typer

from ops.cli import audit_proof, audit_publish
from ops.cli.reach import AsJson, group, nodes_of, opened, show
from ops.cli.refusals import EXIT_REFUSED

HEADS = """query($first: Int!, $before: String) { auditHeads(first: $first, before: $before) {
  edges { node { size root mapRoot time signedBy note } } pageInfo { hasNextPage endCursor } } }"""
KEY = "number fromSize verifier time note"
KEYS = f"{{ auditKeys {{ {KEY} }} }}"
ROTATE = f"""mutation {{ rotateAuditKey {{ key {{ {KEY} }}
  problems {{ code message field remedy }} }} }}"""
STATUS = """{ auditStatus { phase origin sizeSigned unsignedTail keyNumber trouble
  flaw { sequence reason } places { name kind to delivered problem } } }"""

app = group("The log's proof: signed heads, keys, checks.")
app.add_typer(audit_publish.app, name="publish")
for command in (audit_proof.export, audit_proof.verify, audit_proof.verifier):
    app.command()(command)


@app.command()
def heads(
    ctx: typer.Context,
    first: Annotated[int, typer.Option(help="How many, 1 to 100.")] = 20,
    before: Annotated[str | None, typer.Option(help="Go on with the cursor told last.")] = None,
    *,
    notes: Annotated[bool, typer.Option("--notes", help="Print the signed texts.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what was signed over the log, the newest first.

    Example: imewe audit heads --first 1 --notes
    """
    with opened(ctx) as client:
        page = client.execute(HEADS, {"first": first, "before": before})["auditHeads"]
    found = nodes_of(page)
    if notes and not as_json:
        typer.echo("\n".join(each["note"] for each in found))
    else:
        rows = [(each["size"], each["time"], each["root"], each["mapRoot"]) for each in found]
        headings = ("events", "signed at", "root", "map root")
        show(page if as_json else found, as_json=as_json, headings=headings, rows=rows)
    if page["pageInfo"]["hasNextPage"] and not as_json:
        typer.echo(f"older ones: --before {page['pageInfo']['endCursor']}", err=True)


@app.command()
def keys(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """List the public keys that sign or did: keep them where nobody here can change them.

    Example: imewe audit keys --json
    """
    with opened(ctx) as client:
        found = client.execute(KEYS)["auditKeys"]
    if as_json:
        show(found, as_json=True)
        return
    for each in found:
        typer.echo(f"key {each['number']}, from {each['fromSize']} events on, since {each['time']}")
        typer.echo(f"  {each['verifier']}")


@app.command()
def rotate(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """Sign with a new key from now on; for admins.

    Example: imewe audit rotate
    """
    with opened(ctx) as client:
        key = client.command(ROTATE)["key"]
    if as_json:
        show(key, as_json=True)
    else:
        typer.echo(f"key {key['number']} signs from now on:\n  {key['verifier']}")


@app.command()
def status(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """Show how far the log is signed; exit code 1 when the notary found a flaw, or when a place
    that gets the heads does not take them.

    Example: imewe audit status
    """
    with opened(ctx) as client:
        found = client.execute(STATUS)["auditStatus"]
    if as_json:
        show(found, as_json=True)
    else:
        _tell(found)
    if found["flaw"] or any(place["problem"] for place in found["places"]):
        raise typer.Exit(EXIT_REFUSED)


def _tell(found: dict[str, Any]) -> None:
    typer.echo(f"log: {found['origin'] or 'nothing was signed yet'}")
    typer.echo(
        f"signed: {found['sizeSigned']} events; unsigned tail: {found['unsignedTail']} events;"
        f" key {found['keyNumber']} signs from now on"
    )
    typer.echo(f"the notary is {found['phase'].replace('_', ' ')} {found['trouble']}".rstrip())
    if flaw := found["flaw"]:
        typer.echo(f"FLAW at event {flaw['sequence']}: {flaw['reason']}")
    for place in found["places"]:
        how = place["problem"] or f"has all up to number {place['delivered']}"
        typer.echo(f"{place['name']} ({place['kind']} {place['to']}): {how}")
