"""Machines running grblHAL, mostly over a network. Never tried on hardware.

It is GRBL with a larger receive buffer and more to say of itself; the driver counts characters
against the buffer that the firmware names, so it is GRBL's own.
"""

from device_bridge.certify.peers import mill_peer
from device_bridge.drivers.grbl import LASER, make
from device_bridge.drivers.spec import DriverSpec, Quality
from device_bridge.transports.choosing import BYTE_SCHEMES

DRIVER = DriverSpec(
    name="grblhal",
    title="Mills, routers and lasers with grblHAL",
    schemes=BYTE_SCHEMES,
    make=make,
    quality=Quality.SILVER,
    peer=mill_peer("grblhal", link="tcp"),
    options=(LASER,),
)
