"""Set-up of structlog: one line of JSON per entry for programs, coloured text for people."""

import logging
import sys

import structlog

from ops.settings import LogFormat


def configure(log_format: LogFormat, *, service: str) -> None:
    """Call once per process. All goes to standard error; ``service`` stands in every entry."""
    last: list[structlog.typing.Processor]
    if log_format == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        last = [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                # The richer formatter prints local variables: passwords and tokens among them.
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    structlog.contextvars.bind_contextvars(service=service)
