"""What a node can make, in the words of people and of the gateway."""

from typing import Any

from domain.shared.errors import InvalidInputError, NotFoundError
from ops.cli.client import Client

SHOW = """query($id: ID!) { node(id: $id) { capabilities {
  types materials maxSize { x y z } precision maxNozzleC maxBedC inspection } } }"""


def registered_profile(client: Client, node_id: str) -> dict[str, Any]:
    """The profile in effect, as far as the gateway tells it; empty before there is one.

    Raises ``NotFoundError``.
    """
    found = client.execute(SHOW, {"id": node_id})["node"]
    if found is None:
        raise NotFoundError(f"there is no machine {node_id}", remedy="imewe nodes list")
    known = found["capabilities"] or {}
    profile = {
        "process": (known.get("types") or [None])[0],
        "max_size": known.get("maxSize"),
        "max_nozzle_c": known.get("maxNozzleC"),
        "max_bed_c": known.get("maxBedC"),
    }
    return {name: value for name, value in profile.items() if value is not None}


def size_of(text: str) -> dict[str, float]:
    """``250x210x210`` in mm. Raises ``InvalidInputError``."""
    try:
        x, y, z = (float(length) for length in text.lower().split("x"))
    except ValueError:
        raise InvalidInputError(
            f"{text[:40]!r} is no size such as 250x210x210", field="size"
        ) from None
    return {"x": x, "y": y, "z": z}
