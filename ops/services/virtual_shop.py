"""The virtual shop as a service of its own: machines outlive the bridge that drives them.

Reads ``home/virtual-shop.json`` (``device_bridge.virtual.shop.write_plans``), and writes the
machines into ``home/machines.json`` for the bridge.
"""

import asyncio

import structlog

from device_bridge.machines import read_machines, write_machines
from device_bridge.virtual.shop import PLANS, VirtualAttendant, VirtualShop, configs, read_plans
from ops.hosting.service_loop import told_to_stop
from ops.messaging.accounts import EMBEDDED_BRIDGE
from ops.messaging.command_client import NatsCommandClient
from ops.messaging.connection import connect
from ops.settings import Settings

log = structlog.get_logger()


def main(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    asyncio.run(serve(settings))


async def serve(settings: Settings) -> None:
    """Run every machine of the plan; the attendant speaks for the embedded bridge."""
    stopping = told_to_stop()
    plans = read_plans(settings.home / PLANS)
    folder = settings.home / "run"
    client = await connect(settings, "bridge")
    attendant = VirtualAttendant(
        NatsCommandClient(client, kind="bridge", principal_id=EMBEDDED_BRIDGE)
    )
    shop = VirtualShop(plans, folder=folder, attendant=attendant)
    shop.start()
    try:
        own = configs(plans, folder=folder)
        names = {machine.name for machine in own}
        others = [m for m in read_machines(settings.home / "machines.json") if m.name not in names]
        write_machines(settings.home / "machines.json", [*others, *own])
        log.info("virtual_shop_runs", machines=len(plans))
        await stopping.wait()
    finally:
        shop.stop()
        await attendant.stop()
        await client.close()
