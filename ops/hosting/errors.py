"""Why the embedded stack could not be started or reached; the messages say what to do."""

from typing import ClassVar

from domain.shared.errors import ImeweError, UnavailableError


class HostingError(ImeweError):
    """An embedded server or the home cannot be used as asked."""

    code: ClassVar[str] = "HOSTING"


class HomeInUseError(HostingError):
    """Another ``imewe up`` holds this home."""

    code: ClassVar[str] = "HOME_IN_USE"


class NotRunningError(UnavailableError):
    """Nobody answers where the installation should be."""

    code: ClassVar[str] = "NOT_RUNNING"
