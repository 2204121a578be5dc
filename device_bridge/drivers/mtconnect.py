"""Machines behind an MTConnect agent. Reads only. Never tried on hardware: on a virtual agent.

Every change is asked for by its sequence number, so none is missed between two questions. What
the agent's buffer has lost meanwhile is counted (``comm.gaps``) and the newest values read anew.
"""

import asyncio
from urllib.parse import quote, urlsplit

from device_bridge.dialects import mtconnect
from device_bridge.dialects.mtconnect_view import View
from device_bridge.drivers.read_only import ReadOnlyDriver
from device_bridge.drivers.spec import DriverSpec, Option
from device_bridge.errors import DeviceError, DeviceRefusedError
from device_bridge.machines import MachineConfig
from device_bridge.protocols import DeviceIdentity
from device_bridge.transports.http import HttpLink
from device_bridge.virtual.peers_reading import agent_peer
from domain.shared.errors import InvalidInputError

POLL_S = 1.0
REPLY_S = 10.0
MOST = 1000
"""Observations per answer; a backlog is read without a rest."""
MISSES = 3


class MTConnectMachine(ReadOnlyDriver):
    """One device of an agent; the first one when ``device`` (name or uuid) is empty."""

    def __init__(
        self, url: str, *, device: str = "", path: str = "", poll_s: float = POLL_S
    ) -> None:
        super().__init__()
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidInputError("an agent's address is http://HOST:5000", field="port")
        self._url = url.rstrip("/")
        self._wanted = device
        self._path = path
        self._poll_s = poll_s
        self._link: HttpLink | None = None
        self._key = ""
        self._view = View(mtconnect.Device(key="", name="", uuid="", maker=""))
        self._instance = ""
        self._next = 0
        self._gaps = 0
        self._polling: asyncio.Task[None] | None = None

    async def connect(self) -> DeviceIdentity:
        """Probe, read the current values, then follow every change. Raises ``DeviceError``."""
        await self._close()
        self._link = HttpLink(self._url, headers={"Accept": "text/xml"}, timeout_s=REPLY_S)
        try:
            identity = await self._probe()
            await self._current()
        except BaseException:
            await self._close()
            raise
        self._polling = asyncio.get_running_loop().create_task(self._poll())
        return identity

    async def disconnect(self) -> None:
        """Ask no more."""
        await self._close()
        self._gone()

    async def _probe(self) -> DeviceIdentity:
        header, found = mtconnect.devices(await self._ask("/probe"))
        device = next((d for d in found if self._wanted in ("", d.name, d.uuid)), None)
        if device is None:
            there = ", ".join(d.name or d.uuid for d in found) or "none"
            raise DeviceRefusedError(
                f"the agent has no such device; it has {there}"[:200], remedy="set option device"
            )
        self._key = f"/{quote(device.key, safe='')}" if device.key else ""
        self._view = View(device, path=self._path)
        self._instance = header.instance_id
        self._state.metrics.clear()
        told: dict[str, int | str] = {
            "DEVICE": device.name,
            "UUID": device.uuid,
            "MAKER": device.maker,
            "SENDER": header.sender,
            "DATA_ITEMS": len(device.items),
        }
        return DeviceIdentity(
            firmware=f"MTConnect {header.version}".strip(),
            dialect="mtconnect",
            capabilities={name: value for name, value in told.items() if value},
        )

    async def _current(self) -> None:
        """The newest value of everything; the sequence goes on after it."""
        header, said = mtconnect.observations(await self._ask(f"{self._key}/current"))
        if header.instance_id != self._instance:
            raise DeviceRefusedError("the agent began anew meanwhile")
        self._next = header.next_sequence
        self._take(said)

    async def _sample(self) -> bool:
        """What happened since; True when there is more already."""
        question = f"{self._key}/sample?from={self._next}&count={MOST}"
        try:
            header, said = mtconnect.observations(await self._ask(question))
        except DeviceRefusedError:  # most of all OUT_OF_RANGE
            await self._anew()
            return False
        if header.instance_id != self._instance:
            await self._anew()
            return False
        self._next = header.next_sequence
        self._take(said)
        return bool(said) and header.next_sequence <= header.last_sequence

    async def _anew(self) -> None:
        """The thread of sequence numbers is lost: the buffer ran over, or the agent restarted."""
        await self._probe()
        await self._current()
        self._gaps += 1
        self._state.measured({"comm.gaps": float(self._gaps)})

    async def _poll(self) -> None:
        misses, more = 0, False
        while True:
            await asyncio.sleep(0 if more else self._poll_s)
            try:
                more = await self._sample()
                misses = 0
            except DeviceError as problem:
                more = False
                misses += 1
                if misses >= MISSES:
                    self._lose(problem)
                    return

    def _take(self, said: list[mtconnect.Observation]) -> None:
        readings, absent = self._view.fold(said)
        self._take_in(readings, absent, self._view.status())

    def _lose(self, error: DeviceError) -> None:
        """Told also when the agent had called its machine UNAVAILABLE before it went itself."""
        self._polling = None
        self._tell_lost(error)

    async def _ask(self, path: str) -> bytes:
        if self._link is None:
            raise DeviceError("the agent is not connected")
        return (await self._link.ask("GET", path)).content

    async def _close(self) -> None:
        polling, self._polling = self._polling, None
        if polling is not None:
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
        link, self._link = self._link, None
        if link is not None:
            await link.close()
        self._state.metrics.clear()


def _make(machine: MachineConfig) -> MTConnectMachine:
    options = machine.options
    try:
        poll_s = float(options.get("poll_s") or POLL_S)
    except ValueError as problem:
        raise InvalidInputError("poll_s is a number of seconds", field="poll_s") from problem
    return MTConnectMachine(
        machine.port,
        device=options.get("device", ""),
        path=options.get("path", ""),
        poll_s=min(max(poll_s, 0.02), 60.0),
    )


DRIVER = DriverSpec(
    name="mtconnect",
    title="machines behind an MTConnect agent (read only)",
    schemes=("http", "https"),
    make=_make,
    read_only=True,
    peer=agent_peer,
    options=(
        Option(name="device", help="name or uuid of the device; empty takes the first"),
        Option(name="path", help="the controller path whose execution counts; empty: the first"),
        Option(name="poll_s", help="seconds between two questions", default="1"),
    ),
)
