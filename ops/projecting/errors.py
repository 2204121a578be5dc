"""What can go wrong for a runner."""

from domain.shared.errors import ConflictError, UnavailableError


class FencedError(ConflictError):
    """Another runner moved this projection's position, or a rebuild replaced its schema."""

    code = "PROJECTION_FENCED"


class RebuildRunningError(UnavailableError):
    """Another rebuild of the same projection is at work."""

    code = "REBUILD_RUNNING"
