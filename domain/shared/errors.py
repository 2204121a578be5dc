"""Typed refusals. Their messages are safe to show to the person who asked."""

from typing import ClassVar


class ImeweError(Exception):
    """Root of all expected refusals. ``code`` is stable; programs may rely on it."""

    code: ClassVar[str] = "ERROR"

    def __init__(self, message: str, *, field: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.remedy = remedy


class InvalidInputError(ImeweError):
    """A value that can never be accepted; ``field`` names it."""

    code = "INVALID_INPUT"


class NotFoundError(ImeweError):
    """No such object, or not one that this principal may know of."""

    code = "NOT_FOUND"


class IllegalTransitionError(ImeweError):
    """The object's state does not allow this."""

    code = "ILLEGAL_TRANSITION"


class ConflictError(ImeweError):
    """Somebody else changed the object first; read again and decide again."""

    code = "CONFLICT"


class UnauthenticatedError(ImeweError):
    """No token, or one that is expired, revoked or not ours."""

    code = "UNAUTHENTICATED"


class ForbiddenError(ImeweError):
    """The principal is known and may not do this."""

    code = "FORBIDDEN"


class InsufficientMaterialError(ImeweError):
    """The lot does not hold the quantity asked for."""

    code = "INSUFFICIENT_MATERIAL"


class HistoryNegativeError(ImeweError):
    """A correction of the past would leave less than nothing at a later moment."""

    code = "HISTORY_NEGATIVE"


class OverlapError(ImeweError):
    """Another correction covers the same time or the same use already."""

    code = "OVERLAP"


class NodeUnavailableError(ImeweError):
    """The node cannot take this build now."""

    code = "NODE_UNAVAILABLE"


class BedNotClearError(ImeweError):
    """Nothing starts on an uncleared bed."""

    code = "BED_NOT_CLEAR"


class StaleEpochError(ImeweError):
    """The fencing epoch has been passed by a later reservation."""

    code = "STALE_EPOCH"


class DuplicateCommandError(ImeweError):
    """The command id was used before for another request."""

    code = "COMMAND_ID_REUSED"


class UnavailableError(ImeweError):
    """A part of the system cannot answer now; the same request may be sent again."""

    code = "UNAVAILABLE"


class StorageFullError(UnavailableError):
    """The log has no space; nothing was recorded."""

    code = "STORAGE_FULL"


class NewerVersionError(ImeweError):
    """A later release of the program recorded this; an older one does not guess what it means."""

    code = "NEWER_VERSION"


class RebuildRunningError(UnavailableError):
    """Something else is being done to the same projection."""

    code = "REBUILD_RUNNING"


class DamagedSecretError(UnavailableError):
    """A sealed text or key does not open under the key that must open it."""

    code = "DAMAGED_SECRET"
