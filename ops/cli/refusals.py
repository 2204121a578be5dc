"""How every command of `imewe` ends: one clear line and an exit code, never a traceback.

Exit codes: 0 done, 1 refused (or what was looked at is not well), 2 wrong usage, 3 not running, or
the home is in use by another, 4 not logged in.
"""

from typing import Final

import typer

from domain.shared.errors import ImeweError, InvalidInputError, UnauthenticatedError
from ops.hosting.errors import HomeInUseError, NotRunningError

EXIT_REFUSED: Final = 1
EXIT_NOT_RUNNING: Final = 3
EXIT_NOT_LOGGED_IN: Final = 4
"""2 is the argument parser's own."""


def tell_refusal(error: ImeweError | OSError) -> int:
    """One line, a remedy, and the exit code that fits.

    An ``OSError`` is that of a file or folder that somebody named; any other is raised again.
    """
    if isinstance(error, OSError):
        if error.filename is None:
            raise error
        error = InvalidInputError(f"{error.filename}: {error.strerror}")
    where = f" ({error.field})" if error.field else ""
    typer.echo(f"imewe: {error.message}{where}", err=True)
    if error.remedy:
        typer.echo(f"       {error.remedy}", err=True)
    match error:
        case NotRunningError() | HomeInUseError():
            return EXIT_NOT_RUNNING
        case UnauthenticatedError():
            return EXIT_NOT_LOGGED_IN
    return EXIT_REFUSED
