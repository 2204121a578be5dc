"""What mutations take. Ranges are checked where the decision is made, not here."""

from typing import Any

import strawberry

from gateways.graphql.fields import described
from gateways.graphql.scalars import Instant


@strawberry.input(description="One order line.")
class PartInput:
    name: str = described("1 to 200 printable characters.")
    artifact_digest: str = described("SHA-256 of an uploaded file, in hex: POST /v1/artifacts.")
    material_type: str = described("For example PLA.")
    quantity: int = strawberry.field(default=1, description="Pieces, 1 to 1000.")

    def payload(self) -> dict[str, Any]:
        """As the command takes it."""
        return {
            "name": self.name,
            "artifact_digest": self.artifact_digest,
            "material": self.material_type,
            "quantity": self.quantity,
        }


@strawberry.input(description="An order for parts.")
class SubmitJobInput:
    name: str = described("1 to 200 printable characters.")
    parts: list[PartInput] = described("1 to 200 lines.")
    priority: int = strawberry.field(default=5, description="1 (last) to 10 (first).")
    deadline: Instant | None = strawberry.field(default=None, description="Wanted by.")

    def payload(self) -> dict[str, Any]:
        """As the command takes it."""
        return {
            "name": self.name,
            "parts": [part.payload() for part in self.parts],
            "priority": self.priority,
            "deadline": self.deadline.isoformat() if self.deadline else None,
        }


@strawberry.input(description="Lengths along the axes, mm.")
class SizeInput:
    x: float = described("mm.")
    y: float = described("mm.")
    z: float = described("mm.")


@strawberry.input(description="A place on earth (WGS 84).")
class LocationInput:
    lat: float = described("Degrees, north is positive.")
    lon: float = described("Degrees, east is positive.")


@strawberry.input(description="What a machine can make. What is left out takes its default.")
class NodeProfileInput:
    process: str = described("fdm, mill, laser, or of attended machines: sla, lathe ...")
    materials: list[str] = described("For example PLA.")
    max_size: SizeInput = described("The largest piece.")
    precision_mm: float | None = strawberry.field(default=None, description="mm; else 0.1.")
    max_nozzle_c: float | None = strawberry.field(default=None, description="°C; else 260.")
    max_bed_c: float | None = strawberry.field(default=None, description="°C; else 100.")
    inspection: str | None = strawberry.field(
        default=None, description="person (the default), or automatic."
    )
    energy_efficiency: float | None = strawberry.field(
        default=None, description="0 (worst) to 1; else 0.5."
    )
    location: LocationInput | None = strawberry.field(default=None, description="Where it is.")
    origin: str | None = strawberry.field(
        default=None, description="corner or centre: where X0 Y0 of its bed is."
    )
    forbidden_codes: list[str] | None = strawberry.field(
        default=None, description="G and M codes that no program may hold here, such as M600."
    )
    tools: int | None = strawberry.field(
        default=None, description="How many tools it changes by itself; else 1."
    )
    max_spindle_rpm: float | None = strawberry.field(
        default=None, description="The highest S of M3 and M4 on a mill."
    )
    max_power_s: float | None = strawberry.field(
        default=None, description="The highest S of M3 and M4 on a laser."
    )

    def payload(self) -> dict[str, Any]:
        """As the command takes it: only what was given."""
        return {
            name: vars(value) if isinstance(value, SizeInput | LocationInput) else value
            for name, value in vars(self).items()
            if value is not None
        }
