"""`imewe subjects`: what is known about people, and erasing them."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from domain.shared.errors import InvalidInputError, NotFoundError, UnavailableError
from ops.cli.client import Client
from ops.cli.reach import AsJson, group, nodes_of, opened, show
from ops.hosting.home import write_private

CERTIFICATE = """{ subjectId organisationId keyId algorithm keyFingerprint destroyed orderedBy
  orderedAt orderedPosition erasedAt eventId position hash previousHash stays check text }"""
ERASE = f"""mutation($id: ID!, $reason: String!) {{ eraseSubject(subjectId: $id, reason: $reason) {{
  subjectId position problems {{ code message field remedy }} certificate {CERTIFICATE} }} }}"""
PROOF = f"query($id: ID!) {{ erasureCertificate(subjectId: $id) {CERTIFICATE} }}"
LIST = """query($after: String) { accounts(first: 100, after: $after) {
  edges { node { id name mail closed erasedAt openedAt } } pageInfo { hasNextPage endCursor } } }"""
PROFILE = """query($id: ID!) { subjectExport(subjectId: $id) { account {
  id organisationId name mail grants { role organisationId } closed erasedAt openedAt } } }"""
PARTS = {
    "jobs": """query($id: ID!, $at: String) { subjectExport(subjectId: $id) { jobs(first: 50,
      after: $at) { edges { node { id name organisationId status priority deadline
      submissionTimestamp completionTimestamp cancelReason parts { id name materialType quantity
      productionStatus artifact { digest name } } } } pageInfo { hasNextPage endCursor } } } }""",
    "events": """query($id: ID!, $at: String) { subjectExport(subjectId: $id) { events(first: 100,
      after: $at) { edges { node { position eventId topic aggregateId organisationId actor
      occurredAt hash body } } pageInfo { hasNextPage endCursor } } } }""",
    "auditEntries": """query($id: ID!, $at: String) { subjectExport(subjectId: $id) {
      auditEntries(first: 100, before: $at) { edges { node { sequence at actor action resource
      outcome reason address count hash } } pageInfo { hasNextPage endCursor } } } }""",
}
ROTATE = """mutation { rotateKek { problems { code message field remedy }
  kek { id rotating left } } }"""
KEK = "{ keyEncryptionKey { id rotating left } }"
PATIENCE_S = 600.0

app = group("What is known about people, and erasing them.")
SubjectId = Annotated[str, typer.Argument(help="The person's account, see: imewe subjects list.")]
Output = Annotated[Path | None, typer.Option(help="The file to write.")]


@app.command("list")
def list_subjects(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """List people; names and mails are shown to admins until the person is erased.

    Example: imewe subjects list
    """
    with opened(ctx) as client:
        found = list(_pages(client, LIST, {}, "accounts", cursor="after"))
    rows = [(a["id"], a["name"], a["mail"], a["openedAt"], _state(a)) for a in found]
    show(found, as_json=as_json, headings=("id", "name", "mail", "opened", ""), rows=rows)


@app.command()
def erase(
    ctx: typer.Context,
    subject_id: SubjectId,
    reason: Annotated[str, typer.Option(help="Why, for the log; sealed as your note.")] = "",
    output: Output = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Destroy for good what opens a person's texts, and close the account. Nobody can undo it.

    With --output the certificate is written there: JSON for a name that ends in .json, else text.
    The same again only writes the certificate again.

    Example: imewe subjects erase 1f2e3d4c-5b6a-5978-8695-a4b3c2d1e0f9 --output anna.json
    """
    if not yes:
        typer.confirm(f"Erase {subject_id} for good?", abort=True, err=True)
    with opened(ctx) as client:
        certificate = client.command(ERASE, {"id": subject_id, "reason": reason})["certificate"]
    _tell(certificate, output, as_json=as_json)


@app.command()
def certificate(
    ctx: typer.Context, subject_id: SubjectId, output: Output = None, *, as_json: AsJson = False
) -> None:
    """Show or write the certificate of an erasure: for admins and auditors.

    Example: imewe subjects certificate 1f2e3d4c-5b6a-5978-8695-a4b3c2d1e0f9
    """
    with opened(ctx) as client:
        found = client.execute(PROOF, {"id": subject_id})["erasureCertificate"]
    if found is None:
        raise NotFoundError("this person was not erased", field="subject_id")
    _tell(found, output, as_json=as_json)


@app.command()
def export(
    ctx: typer.Context,
    subject_id: SubjectId,
    output: Annotated[Path, typer.Option(help="The file to write; nobody else may read it.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Write all that is known about a person as JSON: for the person, and for admins.

    Profile, grants, orders, events and audit entries, page by page.

    Example: imewe subjects export 1f2e3d4c-5b6a-5978-8695-a4b3c2d1e0f9 --output anna.json
    """
    with opened(ctx) as client:
        found = client.execute(PROFILE, {"id": subject_id})["subjectExport"]
        if found is None:
            raise NotFoundError("there is no such person", field="subject_id")
        write_private(output, "")
        with output.open("w") as file:
            counts = _write(client, file, subject_id, found["account"])
    words = ", ".join(f"{count} {name}" for name, count in counts.items())
    told = {"file": str(output), **counts}
    typer.echo(json.dumps(told) if as_json else f"{output}: {words}")


@app.command("rotate-kek")
def rotate_kek(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """Wrap people's keys by a new key-encryption key and destroy the old one.

    The log is not touched. Interrupted at any moment, it goes on by itself.

    Example: imewe subjects rotate-kek
    """
    with opened(ctx) as client:
        kek = client.command(ROTATE)["kek"]
        until = time.monotonic() + PATIENCE_S
        while kek["rotating"]:
            typer.echo(f"{kek['left']} keys to wrap", err=True)
            if time.monotonic() > until:
                raise UnavailableError("it goes on without us", remedy="say the same again later")
            time.sleep(0.2)
            kek = client.execute(KEK)["keyEncryptionKey"]
    if as_json:
        typer.echo(json.dumps(kek))
    else:
        typer.echo(f"Every key is wrapped by {kek['id']}; keep a copy of the home's file kek")


def _tell(certificate: dict[str, Any], output: Path | None, *, as_json: bool) -> None:
    text = str(certificate.pop("text"))
    as_text = text if not as_json else json.dumps(certificate)
    if output is None:
        typer.echo(as_text)
        return
    in_json = output.suffix == ".json"
    output.write_text(json.dumps(certificate, indent=2) + "\n" if in_json else text)
    typer.echo(as_text if as_json else f"Erased; the certificate is in {output}")


def _write(
    client: Client, file: TextIO, subject_id: str, account: dict[str, Any]
) -> dict[str, int]:
    """Write one JSON object, and never hold more than a page; how many of each were written."""
    counts = {}
    file.write('{"account": ' + json.dumps(account))
    for part, query in PARTS.items():
        file.write(f',\n"{part}": [')
        counts[part] = 0
        for each in _pages(client, query, {"id": subject_id}, "subjectExport", part, cursor="at"):
            file.write((",\n" if counts[part] else "\n") + json.dumps(each))
            counts[part] += 1
        file.write("]")
    file.write("}\n")
    return counts


def _pages(
    client: Client, query: str, variables: dict[str, Any], *path: str, cursor: str
) -> Iterator[dict[str, Any]]:
    at: str | None = None
    while True:
        found = client.execute(query, {**variables, cursor: at})
        for name in path:
            if found is None:
                raise InvalidInputError("the export ended: its subject is not there any more")
            found = found[name]
        yield from nodes_of(found)
        at = found["pageInfo"]["endCursor"]
        if not found["pageInfo"]["hasNextPage"] or at is None:
            return


def _state(account: dict[str, Any]) -> str:
    if account["erasedAt"]:
        return f"erased {account['erasedAt']}"
    return "closed" if account["closed"] else ""
