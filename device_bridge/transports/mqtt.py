"""Topics of an MQTT 3.1.1 broker. Needs the extra ``industrial``."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from device_bridge.errors import (
    DeviceError,
    DeviceRefusedError,
    LinkLostError,
    NotAuthorizedError,
    PortError,
    SilentDeviceError,
)

CONNECT_S = 5.0
KEEP_ALIVE_S = 10
AT_LEAST_ONCE = 1
NOT_AUTHORIZED = frozenset({"Not authorized", "Bad user name or password"})

Told = Callable[[str, bytes], None]


class MqttLink:
    """One connection in a thread of its own; it never comes back by itself.

    ``heard`` and ``lost`` run in the event loop; after ``close`` neither does.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        user: str,
        password: str,
        tls: bool,
        heard: Told,
        lost: Callable[[DeviceError], None],
    ) -> None:
        self._name = f"{host}:{port}"
        self._address = (host, port)
        self._heard: Told | None = heard
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._welcome: asyncio.Future[None] = self._loop.create_future()
        self._subscribed: asyncio.Future[None] = self._loop.create_future()
        self._thread: threading.Thread | None = None
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        self._client.connect_timeout = CONNECT_S
        if user:
            self._client.username_pw_set(user, password)
        if tls:
            self._client.tls_set()
        self._client.on_connect = self._met
        self._client.on_subscribe = self._granted
        self._client.on_message = self._message

    async def open(self, topics: Iterable[str]) -> None:
        """Connect and subscribe. Raises ``DeviceError``."""
        try:
            await asyncio.to_thread(self._client.connect, *self._address, KEEP_ALIVE_S)
        except (OSError, ValueError) as problem:
            raise PortError(f"{self._name} cannot be reached: {problem}") from problem
        self._thread = threading.Thread(target=self._serve, name="mqtt", daemon=True)
        self._thread.start()
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._welcome
                self._client.subscribe([(topic, AT_LEAST_ONCE) for topic in topics])
                await self._subscribed
        except TimeoutError as late:
            raise SilentDeviceError(f"{self._name} does not answer") from late

    async def close(self) -> None:
        """End the connection."""
        self._heard = None
        self._client.disconnect()
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.to_thread(thread.join, CONNECT_S)
        for waiting in (self._welcome, self._subscribed):
            waiting.cancel()

    def _serve(self) -> None:
        """Whatever ends the loop, a broker's nonsense too, is a lost link."""
        text = "the broker ended the connection"
        try:
            self._client.loop_forever(retry_first_connection=False)
        except Exception as problem:
            text = f"{type(problem).__name__}: {problem}"[:200]
            self._client.disconnect()
        self._say(self._over, text)

    def _over(self, text: str) -> None:
        error = LinkLostError(f"{self._name} is gone: {text}")
        for waiting in (self._welcome, self._subscribed):
            if not waiting.done():
                waiting.set_exception(error)
                waiting.exception()  # nobody may be waiting for this one
        if self._heard is not None:
            self._heard = None
            self._lost(error)

    def _met(
        self, client: Client, data: Any, flags: ConnectFlags, code: ReasonCode, _: object
    ) -> None:
        text = f"{self._name} refuses: {code}"
        refusal = NotAuthorizedError if str(code) in NOT_AUTHORIZED else DeviceRefusedError
        self._say(_settle, self._welcome, refusal(text) if code.is_failure else None)

    def _granted(
        self, client: Client, data: Any, number: int, codes: list[ReasonCode], _: object
    ) -> None:
        refused = any(code.is_failure for code in codes)
        problem = NotAuthorizedError(f"{self._name} refuses a topic") if refused else None
        self._say(_settle, self._subscribed, problem)

    def _message(self, client: Client, data: Any, message: MQTTMessage) -> None:
        self._say(self._tell, message.topic, message.payload)

    def _tell(self, topic: str, payload: bytes) -> None:
        if self._heard is not None:
            self._heard(topic, payload)

    def _say(self, what: Callable[..., None], *words: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what, *words)


def _settle(waiting: "asyncio.Future[None]", problem: DeviceError | None) -> None:
    if waiting.done():
        return
    if problem is None:
        waiting.set_result(None)
    else:
        waiting.set_exception(problem)
