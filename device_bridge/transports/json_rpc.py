"""Requests and their answers over one websocket that also brings notifications (Moonraker)."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from device_bridge.dialects import moonraker
from device_bridge.errors import (
    DeviceError,
    DeviceRefusedError,
    LinkLostError,
    NotAuthorizedError,
    SilentDeviceError,
)
from device_bridge.transports.websocket import WebSocketLink

UNAUTHORIZED = 401
"""Over a websocket Moonraker 0.11 says -32602 instead, with the word alone."""
NO_HOST = 503


class RpcLine:
    """One websocket. ``heard`` gets everything but answers; ``broken`` its loss, once."""

    def __init__(
        self,
        url: str,
        *,
        heard: Callable[[moonraker.Meaning], None],
        broken: Callable[[DeviceError], None] = lambda error: None,
    ) -> None:
        self._link = WebSocketLink(url)
        self._url = url
        self._heard = heard
        self._broken = broken
        self._next = 0
        self._asked: dict[int, asyncio.Future[Any]] = {}

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        return self._link.is_open

    async def open(self, *, token: str = "") -> None:
        """Connect, with a one-time token where there is one."""
        url = f"{self._url}?token={token}" if token else self._url
        await self._link.open(self._receive, self._lose, url=url)

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, reply_s: float
    ) -> Any:
        """Ask and wait for the answer.

        Raises ``LinkLostError``, ``SilentDeviceError``, ``NotAuthorizedError``,
        ``DeviceRefusedError`` with the server's words.
        """
        self._next += 1
        id = self._next
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[id] = answer
        try:
            async with asyncio.timeout(reply_s):
                await self._link.send(moonraker.request(id, method, params))
                return await answer
        except TimeoutError as late:
            raise SilentDeviceError(f"no answer to {method} within {reply_s:g} s") from late
        finally:
            self._asked.pop(id, None)

    async def close(self) -> None:
        """Close; ``broken`` is not called."""
        await self._link.close()
        self._fail(LinkLostError("the connection was closed"))

    def _receive(self, text: str) -> None:
        meaning = moonraker.parse(text)
        match meaning:
            case moonraker.Reply(id, result):
                self._settle(id, result, None)
            case moonraker.Refused(int(id), code, message):
                self._settle(id, None, _refusal(code, message))
            case _:
                self._heard(meaning)

    def _settle(self, id: int, result: Any, error: DeviceError | None) -> None:
        answer = self._asked.get(id)
        if answer is None or answer.done():
            return
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)

    def _lose(self, error: DeviceError) -> None:
        self._fail(error)
        self._broken(error)

    def _fail(self, error: DeviceError) -> None:
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(LinkLostError(error.message))


def _refusal(code: int, text: str) -> DeviceError:
    told = " ".join(text.split()) or f"error {code}"
    if code == UNAUTHORIZED or told == "Unauthorized":
        return NotAuthorizedError(told, remedy="give the machine's api_key as an option")
    if code == NO_HOST:
        return SilentDeviceError(told)
    return DeviceRefusedError(told)
