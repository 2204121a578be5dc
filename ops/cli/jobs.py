"""`imewe jobs`: order parts and follow them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from domain.shared.errors import NotFoundError
from ops.cli.job_check import check
from ops.cli.moments import AsOf, moment, tell
from ops.cli.reach import AsJson, done, group, nodes_of, opened, show
from ops.cli.watching import watch_job

SUBMIT = """mutation($input: SubmitJobInput!, $commandId: ID) {
  submitJob(input: $input, commandId: $commandId) {
    jobId position commandId problems { code message field remedy } } }"""
LIST = """query($first: Int!, $status: [JobStatus!], $then: AsOf) {
  jobs(first: $first, status: $status, asOf: $then) {
  asOf { position time }
  edges { node { id name status priority progress submissionTimestamp pieceCount } }
  pageInfo { hasNextPage endCursor } } }"""
SHOW = """query($id: ID!, $then: AsOf) { job(id: $id, asOf: $then) { asOf { position time }
  id name status priority progress submissionTimestamp completionTimestamp deadline position
  parts { id line name materialType quantity passed productionStatus failure
    reasons { code message remedy }
    waitingFor { code message remedy }
    builds { id nodeId piece attempt status percent durationMs materialMg energyJ energySource } }
  timeline(first: 500) { position at words } } }"""
CANCEL = """mutation($id: ID!, $reason: String!) { cancelJob(jobId: $id, reason: $reason) {
  jobId position problems { code message field remedy } } }"""
REPRIORITIZE = """mutation($id: ID!, $priority: Int!) {
  reprioritizeJob(jobId: $id, priority: $priority) {
    jobId position problems { code message field remedy } } }"""
PASS = """mutation($id: ID!, $piece: Int!) { passPiece(partId: $id, piece: $piece) {
  partId position problems { code message field remedy } } }"""
SCRAP = """mutation($id: ID!, $piece: Int!, $reason: String!) {
  scrapPiece(partId: $id, piece: $piece, reason: $reason) {
    partId position problems { code message field remedy } } }"""

app = group("Order parts and follow them.")
JobId = Annotated[str, typer.Argument(help="The order's id.")]
PartId = Annotated[str, typer.Argument(help="The part's id.")]
Piece = Annotated[int, typer.Argument(help="The piece's number, from 0.")]


@app.command()
def submit(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False)],
    material: Annotated[str, typer.Option(help="For example PLA.")] = "PLA",
    quantity: Annotated[int, typer.Option(help="Pieces of each file.")] = 1,
    priority: Annotated[int, typer.Option(help="1 (last) to 10 (first).")] = 5,
    name: Annotated[str | None, typer.Option(help="The order's name.")] = None,
    *,
    command_id: Annotated[
        str | None, typer.Option(help="Your own name for this order; makes a retry safe.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Order one or more models.

    Example: imewe jobs submit bracket.stl --material PETG --quantity 3
    """
    with opened(ctx) as client:
        parts = [
            {
                "name": path.stem,
                "artifactDigest": client.upload(path)["digest"],
                "materialType": material,
                "quantity": quantity,
            }
            for path in files
        ]
        order = {"name": name or files[0].stem, "parts": parts, "priority": priority}
        payload = client.command(SUBMIT, {"input": order, "commandId": command_id})
    done(payload, f"Ordered: {payload['jobId']}", as_json=as_json)


@app.command("list")
def list_jobs(
    ctx: typer.Context,
    first: Annotated[int, typer.Option(help="How many, 1 to 100.")] = 20,
    status: Annotated[list[str] | None, typer.Option(help="Only these states.")] = None,
    as_of: AsOf = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List orders, the newest first.

    Example: imewe jobs list --status IN_PROGRESS
    """
    states = [each.upper() for each in status] if status else None
    wanted = {"first": first, "status": states, "then": moment(as_of)}
    with opened(ctx) as client:
        answer = client.execute(LIST, wanted)["jobs"]
    found = nodes_of(answer)
    tell(answer["asOf"])
    rows = [
        (j["id"], j["name"], j["status"], j["priority"], j["pieceCount"], f"{j['progress']} %")
        for j in found
    ]
    headings = ("id", "name", "state", "priority", "pieces", "progress")
    show(found, as_json=as_json, headings=headings, rows=rows)


@app.command("show")
def show_job(
    ctx: typer.Context, job_id: JobId, as_of: AsOf = None, *, as_json: AsJson = False
) -> None:
    """Show an order with its parts, its builds and its story, now or as it was.

    Example: imewe jobs show 3f6c9b62-6c5e-5f0e-9d0a-2a3f0d1c2b4e --as-of 2026-01-12T10:30:00Z
    """
    with opened(ctx) as client:
        job = client.execute(SHOW, {"id": job_id, "then": moment(as_of)})["job"]
    if job is None:
        raise NotFoundError(f"there {'was' if as_of else 'is'} no order {job_id}")
    tell(job["asOf"])
    if not as_json:
        typer.echo(f"{job['name']}: {job['status']}, {job['progress']} % made")
        for entry in job["timeline"]:
            typer.echo(f"  {entry['at']}  {entry['words']}")
    headings = ("part", "state", "made", "build", "machine", "state", "progress", "why")
    show(job, as_json=as_json, headings=headings, rows=_part_rows(job))


@app.command()
def watch(
    ctx: typer.Context,
    job_id: JobId,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One line for every change.")] = False,
) -> None:
    """Follow an order until it has ended; exit code 1 unless it was completed.

    Example: imewe jobs watch 3f6c9b62-6c5e-5f0e-9d0a-2a3f0d1c2b4e
    """
    with opened(ctx) as client:
        status = watch_job(client, job_id, as_json=as_json)
    if status != "COMPLETED":
        raise typer.Exit(1)


@app.command()
def cancel(
    ctx: typer.Context,
    job_id: JobId,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Ask for the end of an order.

    Example: imewe jobs cancel 3f6c9b62-6c5e-5f0e-9d0a-2a3f0d1c2b4e --reason "wrong file"
    """
    with opened(ctx) as client:
        payload = client.command(CANCEL, {"id": job_id, "reason": reason})
    done(payload, "Asked to cancel it", as_json=as_json)


@app.command()
def reprioritize(
    ctx: typer.Context,
    job_id: JobId,
    priority: Annotated[int, typer.Argument(help="1 (last) to 10 (first).")],
    *,
    as_json: AsJson = False,
) -> None:
    """Change an order's place in the queue.

    Example: imewe jobs reprioritize 3f6c9b62-6c5e-5f0e-9d0a-2a3f0d1c2b4e 9
    """
    with opened(ctx) as client:
        payload = client.command(REPRIORITIZE, {"id": job_id, "priority": priority})
    done(payload, f"Its priority is {priority}", as_json=as_json)


@app.command("pass")
def pass_piece(
    ctx: typer.Context, part_id: PartId, piece: Piece, *, as_json: AsJson = False
) -> None:
    """Say that a piece is as ordered.

    Example: imewe jobs pass 7b1d2c3e-0f4a-5b6c-8d7e-9f0a1b2c3d4e 0
    """
    with opened(ctx) as client:
        payload = client.command(PASS, {"id": part_id, "piece": piece})
    done(payload, f"Piece {piece} has passed", as_json=as_json)


@app.command()
def scrap(
    ctx: typer.Context,
    part_id: PartId,
    piece: Piece,
    reason: Annotated[str, typer.Option(help="What is wrong with it.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Say that a piece is lost; another one is made instead.

    Example: imewe jobs scrap 7b1d2c3e-0f4a-5b6c-8d7e-9f0a1b2c3d4e 0 --reason warped
    """
    with opened(ctx) as client:
        payload = client.command(SCRAP, {"id": part_id, "piece": piece, "reason": reason})
    done(payload, f"Piece {piece} is scrapped", as_json=as_json)


def _part_rows(job: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for part in job["parts"]:
        reasons = [*part["reasons"], *part["waitingFor"]]
        why = "; ".join(reason["message"] for reason in reasons) or part["failure"]
        made = f"{part['passed']} of {part['quantity']}"
        start = (part["name"], part["productionStatus"], made)
        if not part["builds"]:
            rows.append((*start, "", "", "", "", why))
        rows += [
            (*start, b["id"][:8], b["nodeId"][:8], b["status"], f"{b['percent']} %", why)
            for b in part["builds"]
        ]
    return rows


app.command("check")(check)
