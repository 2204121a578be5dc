"""What a node says that it can do."""

import re
from typing import Any

from domain.shared.checks import named
from domain.shared.errors import InvalidInputError

WIRED = ("fdm", "mill", "laser")
"""Processes that a driver exists for."""
BY_HAND = (
    "sla",
    "sls",
    "mjf",
    "lathe",
    "arm",
    "pick_and_place",
    "inspection",
    "post_processing",
)
"""Processes of attended machines: a person gets the model as it was ordered."""
PROCESSES = (*WIRED, *BY_HAND)
INSPECTIONS = ("person", "automatic")
ORIGINS = ("corner", "centre")
LENGTH_LIMIT_MM = 100_000
MOST_CODES = 100
_CODE = re.compile(r"[GM]\d{1,4}(?:\.\d{1,2})?")


def checked_profile(profile: dict[str, Any]) -> dict[str, Any]:
    """A configuration profile with every field checked; unknown fields are refused.

    ``process``; ``materials`` (upper case); ``max_size`` {x, y, z} in mm; ``precision_mm``;
    ``max_nozzle_c``, ``max_bed_c``; ``inspection``: ``person`` or ``automatic`` (pieces pass when
    the machine reports the end); ``energy_efficiency`` and ``location`` {lat, lon} for the score.
    For the check of programs: ``origin`` (corner or centre), ``forbidden_codes``, ``tools``,
    ``max_spindle_rpm``, ``max_power_s`` (S of a laser).
    """
    unknown = set(profile) - set(_CHECKS)
    if unknown:
        raise InvalidInputError(
            f"unknown field {sorted(unknown)[0]}; known are {', '.join(sorted(_CHECKS))}",
            field=f"profile.{sorted(unknown)[0]}",
        )
    missing = {"process", "materials", "max_size"} - set(profile)
    if missing:
        raise InvalidInputError(
            f"the profile needs {sorted(missing)[0]}", field=f"profile.{sorted(missing)[0]}"
        )
    return {**_DEFAULTS, **{field: _CHECKS[field](value) for field, value in profile.items()}}


def _process(value: Any) -> str:
    return _one_of("process", value, PROCESSES)


def _inspection(value: Any) -> str:
    return _one_of("inspection", value, INSPECTIONS)


def _one_of(field: str, value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise InvalidInputError(
            f"{field} must be one of {', '.join(allowed)}", field=f"profile.{field}"
        )
    return str(value)


def _materials(value: Any) -> list[str]:
    if not isinstance(value, list) or not value:
        raise InvalidInputError("name at least one material", field="profile.materials")
    return sorted({named("profile.materials", str(material)).upper() for material in value})


def _size(value: Any) -> dict[str, float]:
    if not isinstance(value, dict) or set(value) != {"x", "y", "z"}:
        raise InvalidInputError("max_size needs x, y and z in mm", field="profile.max_size")
    return {axis: _number("max_size", value[axis], 0.1, LENGTH_LIMIT_MM) for axis in "xyz"}


def _location(value: Any) -> dict[str, float]:
    if not isinstance(value, dict) or set(value) != {"lat", "lon"}:
        raise InvalidInputError("location needs lat and lon in degrees", field="profile.location")
    return {
        "lat": _number("location", value["lat"], -90, 90),
        "lon": _number("location", value["lon"], -180, 180),
    }


def _precision(value: Any) -> float:
    return _number("precision_mm", value, 0.0001, 10)


def _temperature(value: Any) -> float:
    return _number("temperature", value, 0, 1000)


def _origin(value: Any) -> str:
    return _one_of("origin", value, ORIGINS)


def _codes(value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > MOST_CODES:
        raise InvalidInputError(
            f"forbidden_codes is a list of at most {MOST_CODES}", field="profile.forbidden_codes"
        )
    found = sorted({str(code).upper().replace(" ", "") for code in value})
    for code in found:
        if not _CODE.fullmatch(code):
            raise InvalidInputError(
                f"{code[:20]} is no code such as M600", field="profile.forbidden_codes"
            )
    return found


def _tools(value: Any) -> int:
    return int(_number("tools", value, 1, 1000))


def _fast(value: Any) -> float:
    return _number("spindle or power", value, 1, 1_000_000)


def _share(value: Any) -> float:
    return _number("energy_efficiency", value, 0, 1)


def _number(field: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidInputError(
            f"{field} must be a number from {low} to {high}", field=f"profile.{field}"
        )
    return float(value)


_CHECKS = {
    "process": _process,
    "materials": _materials,
    "max_size": _size,
    "precision_mm": _precision,
    "max_nozzle_c": _temperature,
    "max_bed_c": _temperature,
    "inspection": _inspection,
    "energy_efficiency": _share,
    "origin": _origin,
    "forbidden_codes": _codes,
    "tools": _tools,
    "max_spindle_rpm": _fast,
    "max_power_s": _fast,
    "location": _location,
}
_DEFAULTS: dict[str, Any] = {
    "precision_mm": 0.1,
    "max_nozzle_c": 260.0,
    "max_bed_c": 100.0,
    "inspection": "person",
    "energy_efficiency": 0.5,
}
