"""The transport that a machine's port asks for."""

from device_bridge.machines import MachineConfig
from device_bridge.protocols import Transport
from device_bridge.transports.serial import SerialTransport
from device_bridge.transports.tcp import TcpTransport

BYTE_SCHEMES = ("serial", "tcp")
"""What carries bare bytes."""


def transport_to(machine: MachineConfig) -> Transport:
    """Serial for a path, TCP for ``tcp://host:port``. Raises ``InvalidInputError``."""
    if machine.port.startswith("tcp://"):
        return TcpTransport(machine.port)
    return SerialTransport(machine.port, baudrate=machine.baudrate)


def boot_s(machine: MachineConfig) -> float:
    """How long the line must be quiet before a handshake: boards restart when a port is opened."""
    return 0.1 if machine.virtual else 0.5
