"""What tests order and ask of a whole system: GraphQL documents, machines, a program."""

from pathlib import Path
from typing import Any

from ops.demo.scene import FILAMENT, PRINTER, Machine

PROBLEMS = "problems { code message field remedy }"
SUBMIT = f"""mutation($input: SubmitJobInput!, $commandId: ID) {{
  submitJob(input: $input, commandId: $commandId) {{ jobId position commandId {PROBLEMS} }} }}"""
CANCEL = f"""mutation($id: ID!, $commandId: ID) {{
  cancelJob(jobId: $id, commandId: $commandId) {{ jobId position commandId {PROBLEMS} }} }}"""
SCRAP = f"""mutation($id: ID!, $piece: Int!) {{ scrapPiece(partId: $id, piece: $piece,
  reason: "nobody saw it end") {{ partId position {PROBLEMS} }} }}"""
PASS = f"""mutation($id: ID!, $piece: Int!) {{ passPiece(partId: $id, piece: $piece) {{
  partId position {PROBLEMS} }} }}"""
CLEAR = f"mutation($id: ID!) {{ clearBed(nodeId: $id) {{ nodeId position {PROBLEMS} }} }}"
RECEIVE = f"""mutation($node: ID!, $material: String!, $lot: String!, $mg: Int53!,
    $commandId: ID) {{
  receiveMaterial(nodeId: $node, materialType: $material, lot: $lot, quantityMg: $mg,
    commandId: $commandId) {{ inventoryId position {PROBLEMS} }} }}"""
JOB = """query($id: ID!, $atLeast: Position) { job(id: $id, atLeast: $atLeast) {
  id status priority cancelRequested position
  parts { id name productionStatus quantity passed failure reasons { code message remedy }
    pieces { piece status buildId nodeId reason replacement }
    builds { id nodeId piece attempt status percent reason facts epoch passed } } } }"""
NODES = """query($at: Position) { nodes(atLeast: $at) { edges { node { id name
  status virtual connected bedClear held epoch
  disconnectReason run { buildId } } } } }"""
LOTS = """query($at: Position) { inventory(first: 100, atLeast: $at) { edges { node { id nodeId
  materialType lot suppliedMg freeMg
  reservedMg consumedMg wastedMg inTransitMg adjustedMg } } } }"""


def printer(name: str, **how: Any) -> Machine:
    """A virtual printer; ``how``: ``faults`` as in ``device_bridge.virtual.faults``, or a changed
    ``profile``."""
    profile = {**PRINTER, "energyEfficiency": 0.5, **how.pop("profile", {})}
    return Machine(name=name, dialect="marlin", profile=profile, stock=FILAMENT, **how)


TWO_PRINTERS = (printer("virtual-printer-1"), printer("virtual-printer-2"))


def small_program(folder: Path, *, layers: int = 40, side: float = 40.0) -> Path:
    """A program that a virtual printer of the demo's speed works on for some seconds."""
    lines = ["; a hollow box, written by hand", "M140 S60", "M104 S210", "G21", "G90", "M82"]
    lines += ["G28", "M190 S60", "M109 S210", "G92 E0"]
    length = 0.0
    for layer in range(1, layers + 1):
        lines.append(f"G1 Z{layer * 0.2:.2f} F600")
        for x, y in ((0.0, 0.0), (side, 0.0), (side, side), (0.0, side), (0.0, 0.0)):
            length += side * 0.033
            lines.append(f"G1 X{100 + x:.2f} Y{80 + y:.2f} E{length:.4f} F1500")
    lines += ["M104 S0", "M140 S0", ""]
    path = folder / f"hollow_box_{layers}.gcode"
    path.write_text("\n".join(lines))
    return path
