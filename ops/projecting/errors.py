"""What can go wrong for a runner."""

from domain.shared.errors import ConflictError


class FencedError(ConflictError):
    """Another runner moved this projection's position, or something was done to its schema."""

    code = "PROJECTION_FENCED"
