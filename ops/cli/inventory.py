"""`imewe inventory`: the material at the machines."""

from typing import Annotated

import typer

from ops.cli.corrections import correct_count, entries, reassign
from ops.cli.moments import AsOf, moment, tell
from ops.cli.reach import (
    AsJson,
    done,
    grams,
    group,
    machine_id,
    milligrams,
    nodes_of,
    opened,
    show,
)

LIST = """query($node: ID, $material: String!, $then: AsOf) {
  inventory(first: 100, nodeId: $node, materialType: $material, asOf: $then) {
    asOf { position time } edges { node {
    id nodeId materialType lot density freeMg reservedMg consumedMg wastedMg adjustedMg } } } }"""
_ANSWER = "inventoryId freeMg position problems { code message field remedy }"
RECEIVE = f"""mutation($node: ID!, $material: String!, $lot: String!, $mg: Int53!,
    $density: Float!) {{
  receiveMaterial(nodeId: $node, materialType: $material, lot: $lot, quantityMg: $mg,
    density: $density) {{ {_ANSWER} }} }}"""
COUNT = f"""mutation($id: ID!, $mg: Int53!) {{
  countMaterial(inventoryId: $id, countedMg: $mg) {{ {_ANSWER} }} }}"""
CORRECT = f"""mutation($id: ID!, $mg: Int53!, $reason: String!) {{
  correctMaterial(inventoryId: $id, differenceMg: $mg, reason: $reason) {{ {_ANSWER} }} }}"""

app = group("The material at the machines.")
LotId = Annotated[str, typer.Argument(help="The lot's id.")]


@app.command("list")
def list_lots(
    ctx: typer.Context,
    node: Annotated[str | None, typer.Option(help="Only at this machine.")] = None,
    material: Annotated[str, typer.Option(help="Only this material.")] = "",
    as_of: AsOf = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List lots and what is left of them.

    Example: imewe inventory list --material PLA
    """
    wanted = {"node": node, "material": material, "then": moment(as_of)}
    with opened(ctx) as client:
        answer = client.execute(LIST, wanted)["inventory"]
    found = nodes_of(answer)
    tell(answer["asOf"])
    amounts = ("freeMg", "reservedMg", "consumedMg", "wastedMg")
    rows = [
        (
            lot["id"],
            lot["nodeId"][:8],
            lot["materialType"],
            lot["lot"],
            *(grams(lot[amount]) for amount in amounts),
        )
        for lot in found
    ]
    headings = ("id", "machine", "material", "lot", "free", "reserved", "consumed", "wasted")
    show(found, as_json=as_json, headings=headings, rows=rows)


@app.command()
def receive(
    ctx: typer.Context,
    node: Annotated[str, typer.Argument(help="The machine's name or id.")],
    material: Annotated[str, typer.Argument(help="For example PLA.")],
    quantity: Annotated[str, typer.Argument(help="For example 1kg or 750g.")],
    lot: Annotated[str, typer.Option(help="The lot's name.")] = "1",
    density: Annotated[float, typer.Option(help="g/cm³, for a new lot.")] = 1.24,
    *,
    as_json: AsJson = False,
) -> None:
    """Book material in.

    Example: imewe inventory receive prusa-1 PLA 1kg
    """
    received = {
        "material": material,
        "lot": lot,
        "mg": milligrams(quantity),
        "density": density,
    }
    with opened(ctx) as client:
        payload = client.command(RECEIVE, {"node": machine_id(client, node), **received})
    done(payload, f"Received into lot {payload['inventoryId']}", as_json=as_json)


@app.command()
def count(
    ctx: typer.Context,
    lot_id: LotId,
    quantity: Annotated[str, typer.Argument(help="What lies there, for example 640g.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Book what a stock-take found, reserved amounts included.

    Example: imewe inventory count 9a8b7c6d-5e4f-5a3b-8c1d-0e9f8a7b6c5d 640g
    """
    with opened(ctx) as client:
        payload = client.command(COUNT, {"id": lot_id, "mg": milligrams(quantity)})
    done(payload, "Counted", as_json=as_json)


@app.command(context_settings={"ignore_unknown_options": True})
def correct(
    ctx: typer.Context,
    lot_id: LotId,
    difference: Annotated[str, typer.Argument(help="For example 20g or -20g.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Correct the books of a lot by a difference.

    Example: imewe inventory correct 9a8b7c6d-5e4f-5a3b-8c1d-0e9f8a7b6c5d -20g --reason "purge"
    """
    variables = {"id": lot_id, "mg": milligrams(difference), "reason": reason}
    with opened(ctx) as client:
        payload = client.command(CORRECT, variables)
    done(payload, "Corrected", as_json=as_json)


app.command("entries")(entries)
app.command("correct-count")(correct_count)
app.command("reassign")(reassign)
