"""Types that several objects share."""

from collections.abc import Mapping
from typing import Any, Self

import strawberry

from gateways.graphql.fields import described
from gateways.graphql.scalars import Int53


@strawberry.type(description="A stored file.")
class Artifact:
    digest: str = described("SHA-256 of its bytes, in hex.")
    size: Int53 = described("Bytes.")
    format: str = described("stl, obj or gcode.")
    name: str = described("The name it was uploaded under.")

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self | None:
        """``None`` for the empty mapping of a file that is not there yet."""
        if not stored:
            return None
        return cls(
            digest=stored["digest"],
            size=stored["size"],
            format=stored["format"],
            name=stored["name"],
        )


@strawberry.type(description="Lengths along the axes, mm.")
class Size:
    x: float = described("mm.")
    y: float = described("mm.")
    z: float = described("mm.")


@strawberry.type(description="A place on earth (WGS 84).")
class Location:
    lat: float = described("Degrees, north is positive.")
    lon: float = described("Degrees, east is positive.")


@strawberry.type(description="Why something cannot be made.")
class Reason:
    code: str = described("Stable.")
    message: str = described("What is in the way.")
    remedy: str = described("What to do about it.")


def optional_id(text: str) -> strawberry.ID | None:
    """Rows write an empty text where there is none."""
    return strawberry.ID(text) if text else None
