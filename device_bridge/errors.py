"""Typed refusals of machines and of the wire to them."""

from domain.shared.errors import ImeweError


class DeviceError(ImeweError):
    """Root of what a machine, or the way to it, can answer."""

    code = "DEVICE_ERROR"


class PortError(DeviceError):
    """The port cannot be opened: it is missing, forbidden or held by somebody else."""

    code = "PORT_UNAVAILABLE"


class LinkLostError(DeviceError):
    """The machine's port went away. What the machine did since is unknown."""

    code = "LINK_LOST"


class SilentDeviceError(DeviceError):
    """The machine stopped answering although its port is open."""

    code = "DEVICE_SILENT"


class StreamBrokenError(DeviceError):
    """Sender and machine no longer agree on what was received."""

    code = "STREAM_BROKEN"


class DeviceRefusedError(DeviceError):
    """The machine answered with an error."""

    code = "DEVICE_REFUSED"


class MachineHaltedError(DeviceError):
    """The firmware halted itself; it needs a reset by a person."""

    code = "MACHINE_HALTED"


class EmergencyLatchedError(DeviceError):
    """An emergency stop is latched until a person clears it."""

    code = "EMERGENCY_STOP_LATCHED"


class NotHeldError(DeviceError):
    """The machine did not report that it holds."""

    code = "NOT_HELD"


class MachineBusyError(DeviceError):
    """The machine is doing something that excludes what was asked."""

    code = "MACHINE_BUSY"


class WithdrawnError(DeviceError):
    """The build was cancelled before a byte of it was written."""

    code = "WITHDRAWN"


class BadProgramError(DeviceError):
    """The program holds something this machine must not be sent."""

    code = "BAD_PROGRAM"


class UnsupportedError(DeviceError):
    """The machine, or the way to it, has no such function."""

    code = "UNSUPPORTED_BY_DRIVER"


class ExtraMissingError(DeviceError):
    """A driver needs a library that is not installed."""

    code = "EXTRA_MISSING"


class NotAuthorizedError(DeviceError):
    """The machine does not accept the key or the password that it was given."""

    code = "NOT_AUTHORIZED"
