"""`imewe jobs check`: what a program may not do on a machine, before anybody orders it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from domain.part.checking import CheckReport, Limits, check_program
from domain.shared.errors import NotFoundError
from ops.cli.reach import AsJson, machine_id, opened, show

PROFILE = """query($id: ID!) { node(id: $id) { capabilities { types maxSize { x y z } maxNozzleC
  maxBedC origin forbiddenCodes tools maxSpindleRpm maxPowerS } } }"""
REFUSED = 3
"""The exit code when the machine's bridge would refuse the program."""


def check(
    ctx: typer.Context,
    program: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A G-code file.")],
    node: Annotated[str, typer.Option(help="The machine's name or id.")],
    material: Annotated[str, typer.Option(help="For example PLA: it has limits, too.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Check a G-code program against a machine, as its bridge does before the first byte.

    Example: imewe jobs check bracket.gcode --node prusa-1 --material PLA
    """
    with opened(ctx) as client:
        found = client.execute(PROFILE, {"id": machine_id(client, node)})["node"]
    if found is None or found["capabilities"] is None:
        raise NotFoundError(f"machine {node} has no profile", remedy="imewe nodes configure")
    limits = Limits.of(_profile(found["capabilities"]), material=material)
    with program.open(encoding="utf-8-sig", errors="replace") as lines:
        report = check_program(lines, limits)
    show(_plain(report), as_json=as_json, headings=("line", "", "finding"), rows=_rows(report))
    if report.errors:
        raise typer.Exit(REFUSED)


def _profile(told: dict[str, Any]) -> dict[str, Any]:
    wanted = {
        "process": told["types"][0],
        "max_size": told["maxSize"],
        "max_nozzle_c": told["maxNozzleC"],
        "max_bed_c": told["maxBedC"],
        "origin": told["origin"],
        "forbidden_codes": told["forbiddenCodes"],
        "tools": told["tools"],
        "max_spindle_rpm": told["maxSpindleRpm"],
        "max_power_s": told["maxPowerS"],
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _plain(report: CheckReport) -> dict[str, Any]:
    return {
        "lines": report.lines,
        "refused": bool(report.errors),
        "findings": [
            {"line": f.line, "code": f.code, "severity": f.severity, "message": f.message,
             "times": f.times}
            for f in report.findings
        ],
        "unknown": [
            {"code": code, "line": line, "times": times}
            for code, (line, times) in report.unknown.items()
        ],
    }  # fmt: skip


def _rows(report: CheckReport) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = [
        (f.line, f.severity.lower(), f.message + (f" (x{f.times})" if f.times > 1 else ""))
        for f in report.findings
    ]
    unknown = [
        (line, "unknown", f"{code} (x{times})") for code, (line, times) in report.unknown.items()
    ]
    return [*found, *unknown] or [("", "sound", f"{report.lines} lines")]
