"""What the core asks of the outside world. Adapters live in ``ops``."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from domain.shared.personal import Personal


class Clock(Protocol):
    """The only source of the present."""

    def now(self) -> datetime:
        """The present in UTC."""


class TelemetryFeed(Protocol):
    """Where samples go: limited retention, not the event log."""

    async def publish(self, node_id: str, columns: dict[str, Any]) -> None:
        """Hand over one columnar message of at most 1000 readings."""


class CommandPort(Protocol):
    """The way to the commands service, the only writer of the log."""

    async def send(
        self,
        name: str,
        payload: Mapping[str, Any],
        *,
        command_id: str,
        token: str = "",
        organisation_id: str = "",
        causation: str = "",
        correlation: str = "",
        traceparent: str = "",
    ) -> dict[str, Any]:
        """Send one command and return its answer, which holds ``position`` (int) and ``id``.

        ``token``: the person's, when a gateway sends for one. ``causation`` and ``correlation``:
        what led to it, and what began the story.

        Raises the typed errors of ``domain.shared.errors``; ``UnavailableError`` when nobody
        answered, in which case the same command id may be sent again.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRef:
    """A stored file: ``digest`` is the SHA-256 of its bytes in hex, ``size`` in bytes."""

    digest: str
    size: int
    format: str
    name: str


class ArtifactStore(Protocol):
    """Content-addressed files."""

    async def put(
        self,
        chunks: AsyncIterator[bytes],
        *,
        organisation_id: str,
        name: str,
        format: str | None = None,
    ) -> ArtifactRef:
        """Store a stream once per organisation; the same bytes again give the same reference.

        The bytes decide the format; a ``format`` given must be the one they have. Raises
        ``InvalidInputError`` for an empty, damaged, too large or unknown file, and
        ``UnavailableError`` when it cannot be stored; then nothing is left behind.
        """

    async def info(self, digest: str, *, organisation_id: str) -> ArtifactRef:
        """The reference of a stored file. Raises ``NotFoundError``."""

    def open(self, digest: str, *, organisation_id: str) -> AsyncIterator[bytes]:
        """The bytes of a stored file, checked against the digest before the last of them is given.

        Raises ``NotFoundError``, or ``UnavailableError`` when the store cannot give what it took.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class DataKey:
    """What can be told of a data subject's key: its name as sealed texts say it, the algorithm,
    and a SHA-256 by which a key that turns up later could be recognised."""

    name: str
    algorithm: str
    fingerprint: str


class SecretStore(Protocol):
    """Values that are neither events nor rebuildable, and can be erased for good."""

    def put(self, name: str, value: bytes) -> None:
        """Store a value under a name that holds none; an older one is erased first."""

    def get(self, name: str) -> bytes | None:
        """The value, or ``None`` when there is none or it was erased."""

    def erase(self, name: str) -> None:
        """Destroy the value so that no file of the store holds it."""

    def protect(self, subject_id: str, field: str, text: str) -> Personal:
        """Encrypt a person's text under that person's key (AES-256-GCM).

        Raises ``IllegalTransitionError`` when the person was erased.
        """

    def reveal(self, subject_id: str, field: str, personal: Personal) -> str | None:
        """Decrypt it, or ``None`` when the person's key was destroyed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometryReport:
    """Measured geometry of a mesh. Lengths in mm, volume in mm³, area in mm²."""

    size_mm: tuple[float, float, float]
    volume_mm3: float
    surface_mm2: float
    triangles: int
    watertight: bool
    bodies: int


class Geometry(Protocol):
    """Measures meshes outside this process."""

    async def measure(self, path: str, format: str) -> GeometryReport:
        """Measure a file. Raises ``InvalidInputError`` for what is no mesh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceProfile:
    """How to slice: one material on one machine family. Lengths in mm, temperatures in °C."""

    material: str
    layer_height_mm: float
    infill_percent: int
    nozzle_mm: float
    nozzle_c: int
    bed_c: int
    bed_size_mm: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceReport:
    """The slicer's own figures for one piece."""

    slicer: str
    gcode: ArtifactRef
    duration_ms: int
    material_mm3: int
    lines: int


class Slicer(Protocol):
    """Turns a mesh into G-code outside this process."""

    async def slice(
        self, digest: str, profile: SliceProfile, *, organisation_id: str
    ) -> SliceReport:
        """Slice a stored mesh; raises ``UnavailableError`` that says what to install."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GcodeReport:
    """What a G-code file says of itself. Duration is an estimate from its moves, without heating.

    ``process`` is ``fdm``, ``mill``, ``laser`` or ``unknown``. ``lower_mm`` and ``upper_mm`` are
    the corners of what is made, in the program's own coordinates. ``unsafe`` names commands that
    no program may give; see ``domain.part.sendable``. ``broken`` says which motion cannot be read,
    if any. ``lowest_extrusion_mm`` is 0 unless it extrudes below the bed.
    """

    lines: int
    size_mm: tuple[float, float, float]
    duration_ms: int
    material_mm3: int
    nozzle_c: int
    bed_c: int
    process: str
    lower_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    upper_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    unsafe: Sequence[str] = ()
    broken: str = ""
    lowest_extrusion_mm: float = 0.0
    remarks: Sequence[str] = ()


class ArtifactInspector(Protocol):
    """Looks into stored files outside this process; the same file is looked into once."""

    async def inspect(self, digest: str, *, organisation_id: str) -> GeometryReport | GcodeReport:
        """Measure a stored mesh or read a stored program.

        Raises ``NotFoundError``, ``InvalidInputError`` for what is no mesh or program after all,
        and ``UnavailableError`` when looking took too long.
        """
