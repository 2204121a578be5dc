"""Variables of an OPC UA server. Needs the extra ``industrial``.

Messages are neither signed nor encrypted (policy None): for a network of the machines' own.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.node import Node
from asyncua.common.subscription import DataChangeNotif
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError

from device_bridge.dialects.named_values import Value
from device_bridge.errors import (
    DeviceError,
    DeviceRefusedError,
    LinkLostError,
    NotAuthorizedError,
    PortError,
    SilentDeviceError,
)

TIMEOUT_S = 4.0
PERIOD_MS = 250.0
DEEPEST = 6
MOST_NODES = 300
SERVER = ua.NodeId(ua.Int32(ObjectIds.Server))
DENIED = (ua.uaerrors.BadUserAccessDenied, ua.uaerrors.BadIdentityTokenRejected,
          ua.uaerrors.BadIdentityTokenInvalid)  # fmt: skip
logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)  # what matters is raised


class OpcUaLink:
    """One session; it never comes back by itself. ``lost`` is told when it went away."""

    def __init__(
        self, url: str, *, user: str, password: str, lost: Callable[[DeviceError], None]
    ) -> None:
        self._url = url
        self._client = Client(url, timeout=TIMEOUT_S)
        self._client.connection_lost_callback = self._gone
        if user:
            self._client.set_user(user)
            self._client.set_password(password)
        self._lost = lost
        self._nodes: list[Node] = []
        self._changed: Callable[[int, Value], None] = lambda number, value: None

    async def open(self) -> dict[str, str]:
        """What the server says of itself. Raises ``DeviceError``."""
        try:
            async with self._typed():
                await self._client.connect()
        except LinkLostError as problem:
            raise PortError(problem.message) from problem
        async with self._typed():
            info = await self._client.get_node(ObjectIds.Server_ServerStatus_BuildInfo).get_value()
            spaces = await self._client.get_namespace_array()
        return {
            "PRODUCT": str(info.ProductName or ""),
            "MAKER": str(info.ManufacturerName or ""),
            "VERSION": str(info.SoftwareVersion or ""),
            "NAMESPACES": " ".join(spaces[1:])[:400],
        }

    async def read(self, places: Sequence[str]) -> list[Value]:
        """Every variable once, in this order. Raises ``DeviceRefusedError`` naming what is none."""
        self._nodes = [await self._node(place) for place in places]
        async with self._typed():
            found = await self._client.read_attributes(self._nodes)
        for place, value in zip(places, found, strict=True):
            if value.StatusCode is not None and value.StatusCode.value in UNKNOWN:
                raise DeviceRefusedError(f"the server has no variable {place[:80]}")
        return [_value(each) for each in found]

    async def follow(self, changed: Callable[[int, Value], None]) -> None:
        """Be told every change of the variables that were read last, by their number."""
        self._changed = changed
        async with self._typed():
            subscription = await self._client.create_subscription(PERIOD_MS, self)
            await subscription.subscribe_data_change(
                self._nodes, sampling_interval=ua.Double(PERIOD_MS)
            )

    async def variables(self) -> list[str]:
        """Node ids and names of the variables that an operator may choose from; not all of many."""
        found: list[str] = []
        places: list[tuple[Node, str, int]] = [(self._client.get_objects_node(), "", 0)]
        async with self._typed():
            for node, path, depth in places:
                for child in await node.get_children_descriptions():
                    own = f"{path}/{child.BrowseName.Name}"
                    if child.NodeClass is ua.NodeClass.Variable:
                        found.append(f"{child.NodeId.to_string()} {own}")
                    elif child.NodeId != SERVER and depth < DEEPEST and len(places) < MOST_NODES:
                        places.append((self._client.get_node(child.NodeId), own, depth + 1))
        return found[:MOST_NODES]

    async def close(self) -> None:
        """End the session."""
        self._lost = lambda error: None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._client.disconnect()
        except (OSError, TimeoutError, UaError, asyncio.CancelledError) as problem:
            if isinstance(problem, asyncio.CancelledError) and _cancelled():
                raise

    def datachange_notification(self, node: Node, val: object, data: DataChangeNotif) -> None:
        """Called by asyncua."""
        item = data.monitored_item.Value
        if node in self._nodes:
            self._changed(self._nodes.index(node), _value(item))

    async def _node(self, place: str) -> Node:
        """``ns=2;s=Temp``, or with the namespace's own name: ``nsu=urn:maker;s=Temp``."""
        space, _, rest = place.partition(";")
        try:
            if space.startswith("nsu="):
                async with self._typed():
                    number = await self._client.get_namespace_index(space.removeprefix("nsu="))
                place = f"ns={number};{rest}"
            return self._client.get_node(place)
        except (ValueError, UaError) as problem:
            raise DeviceRefusedError(f"{place[:80]} is no node: {problem}") from problem

    async def _gone(self, problem: Exception) -> None:
        told = str(problem) or type(problem).__name__
        self._lost(LinkLostError(f"{self._url} is gone: {told}"))

    @asynccontextmanager
    async def _typed(self) -> AsyncIterator[None]:
        try:
            yield
        except DENIED as problem:
            raise NotAuthorizedError(
                f"{self._url}: {problem}", remedy="check the options user and password"
            ) from problem
        except TimeoutError as late:
            raise SilentDeviceError(f"{self._url} does not answer") from late
        except OSError as problem:
            raise LinkLostError(f"{self._url} cannot be reached: {problem}") from problem
        except UaError as problem:
            raise DeviceRefusedError(f"{self._url}: {problem}") from problem


UNKNOWN = frozenset(
    {
        StatusCodes.BadNodeIdUnknown,
        StatusCodes.BadNodeIdInvalid,
        StatusCodes.BadAttributeIdInvalid,
    }
)


def _value(data: ua.DataValue) -> Value:
    """``None`` for what the server calls bad, and for what is neither number nor word."""
    if data.StatusCode is not None and not data.StatusCode.is_good():
        return None
    value = data.Value.Value if data.Value is not None else None
    return value if isinstance(value, bool | int | float | str) else None


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
