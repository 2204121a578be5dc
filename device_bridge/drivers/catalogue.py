"""Every driver there is: one module of this package each, and a maker's files beside them.

A driver is a module ``<name>.py`` with ``DRIVER = DriverSpec(name="<name>", ...)``. Only what is
asked for is imported, so a bridge carries the drivers of its machines and no others.
"""

import contextlib
import importlib
import importlib.util
import pkgutil
import stat
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from device_bridge import drivers as package
from device_bridge.drivers.spec import DriverSpec, scheme_of
from device_bridge.machines import MachineConfig
from device_bridge.protocols import DeviceDriver
from device_bridge.transports.tcp import host_and_port
from domain.shared.errors import InvalidInputError

OWN_FOLDER = "drivers"
"""Below the home: a maker's drivers."""


def drivers(
    folder: Path | None = None, *, unusable: Callable[[str], None] = lambda _: None
) -> dict[str, DriverSpec]:
    """All drivers by name; ``folder`` holds a maker's.

    A file of theirs that is broken, or bears the name of a module of ours, is left out and told.
    Imports every driver: for lists, not for the bridge.
    """
    found: dict[str, DriverSpec] = {}
    for module in pkgutil.iter_modules(package.__path__):
        with contextlib.suppress(InvalidInputError):  # a part of a driver
            found[module.name] = driver_named(module.name)
    for path in sorted(folder.glob("*.py")) if folder is not None else ():
        if _is_part(path.stem):
            unusable(f"{path.name} bears the name of a module of this release")
            continue
        try:
            found[path.stem] = driver_named(path.stem, folder)
        except InvalidInputError as problem:
            unusable(problem.message)
    return dict(sorted(found.items()))


def driver_named(name: str, folder: Path | None = None) -> DriverSpec:
    """One driver. Raises ``InvalidInputError`` when there is none or its file is broken."""
    if name.isidentifier():
        if _is_part(name):
            spec = vars(importlib.import_module(f"{package.__name__}.{name}")).get("DRIVER")
            if isinstance(spec, DriverSpec):
                return spec
        elif folder is not None and (folder / f"{name}.py").is_file():
            return _maker(folder / f"{name}.py")
    raise InvalidInputError(
        f"there is no driver {name[:40]}", field="dialect", remedy="imewe bridge drivers lists them"
    )


def driver_for(machine: MachineConfig, folder: Path | None = None) -> DeviceDriver:
    """The driver of a machine, unconnected. Raises ``InvalidInputError``."""
    spec = driver_named(machine.dialect, folder)
    checked(machine, spec)
    return spec.make(machine)


def checked(machine: MachineConfig, spec: DriverSpec) -> MachineConfig:
    """The machine, when this driver can serve it. Raises ``InvalidInputError``."""
    if scheme_of(machine.port) not in spec.schemes:
        raise InvalidInputError(
            f"{spec.name} reaches machines by {', '.join(spec.schemes)}, not by "
            f"{scheme_of(machine.port)}",
            field="port",
        )
    if scheme_of(machine.port) == "tcp":
        host_and_port(machine.port)
    known = [option.name for option in spec.options]
    for name in machine.options:
        if name not in known:
            raise InvalidInputError(
                f"{spec.name} has no option {name[:40]}; it has {', '.join(known) or 'none'}",
                field="option",
            )
    return machine


def _is_part(name: str) -> bool:
    """Whether a name is a module of this package: a maker's file never stands in for one."""
    return importlib.util.find_spec(f"{package.__name__}.{name}") is not None


def _maker(path: Path) -> DriverSpec:
    spec = vars(_loaded(path)).get("DRIVER")
    if not isinstance(spec, DriverSpec):
        raise InvalidInputError(f"{path.name} has no DRIVER = DriverSpec(...)", field="dialect")
    if spec.name != path.stem:
        raise InvalidInputError(f"{path.name} names its driver {spec.name}", field="dialect")
    return spec


def _loaded(path: Path) -> ModuleType:
    """A maker's code may fail in any way; it fails alone. What anybody may write is not run."""
    for place in (path.parent, path):
        if place.stat().st_mode & stat.S_IWOTH:
            raise InvalidInputError(
                f"{place} may be written by anybody", field="dialect", remedy=f"chmod o-w {place}"
            )
    found = importlib.util.spec_from_file_location(f"imewe_maker_{path.stem}", path)
    if found is None or found.loader is None:
        raise InvalidInputError(f"{path.name} cannot be read", field="dialect")
    module = importlib.util.module_from_spec(found)
    try:
        found.loader.exec_module(module)
    except Exception as problem:
        raise InvalidInputError(
            f"{path.name} fails when loaded: {type(problem).__name__}: {problem}", field="dialect"
        ) from problem
    return module
