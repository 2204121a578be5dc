"""A watcher other than the controller: switches off heat that no build holds a lease for."""

import asyncio
import contextlib

import structlog

from device_bridge.errors import DeviceError
from device_bridge.heat_lease import HeatLease
from device_bridge.protocols import DeviceDriver, TelemetrySample


class HeatGuard:
    """Sees every sample of one machine."""

    def __init__(self, node_id: str, driver: DeviceDriver) -> None:
        self._driver = driver
        self._lease = HeatLease()
        self._cooling: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("bridge.heat").bind(node_id=node_id)

    def watch(self, sample: TelemetrySample, *, building: bool) -> None:
        """A running build renews the lease; without one it runs out."""
        if building:
            self._lease.renew()
        elif self._lease.expired(sample.metrics, sample.mono_s):
            self._lease.renew()
            self._log.warning("orphaned_heat_switched_off")
            self._cooling = asyncio.get_running_loop().create_task(self._cool())

    async def _cool(self) -> None:
        with contextlib.suppress(DeviceError):
            await self._driver.heat_off()
