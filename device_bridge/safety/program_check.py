"""The last look at a program, on the machine's own computer, before its first byte."""

from pathlib import Path
from typing import Any

import structlog

from device_bridge.errors import BadProgramError
from device_bridge.gently import gently
from domain.part.checking import CheckReport, Limits, check_program

STRETCH = 128


def check_file(program: Path, profile: dict[str, Any], *, material: str) -> CheckReport:
    """Read a program as the bridge would send it, line by line, against a machine's profile."""
    with program.open(encoding="utf-8-sig", errors="replace") as lines:
        return check_program(gently(lines, every=STRETCH), Limits.of(profile, material=material))


def demand_sound(program: Path, profile: dict[str, Any], *, material: str) -> None:
    """Raises ``BadProgramError`` with every finding (up to 20) when it may not run here."""
    report = check_file(program, profile, material=material)
    log = structlog.get_logger("bridge.check")
    if report.unknown:
        log.info("unknown_codes", codes={code: line for code, (line, _) in report.unknown.items()})
    if report.errors:
        raise BadProgramError(report.told())
    for finding in report.findings:
        log.warning("program", finding=str(finding))
