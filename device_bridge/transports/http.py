"""Requests to a machine's HTTP server, with its refusals and silences as typed errors."""

from collections.abc import Mapping
from typing import Any, Self

import httpx

from device_bridge.errors import (
    DeviceRefusedError,
    LinkLostError,
    NotAuthorizedError,
    SilentDeviceError,
)

TIMEOUT_S = 10.0
NOT_ALLOWED = frozenset({401, 403})
LONGEST_TEXT = 500


class HttpLink:
    """One pool of connections to one machine. Proxies of the environment are left alone."""

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: httpx.Auth | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            auth=auth,
            timeout=timeout_s,
            trust_env=False,
            # Plain HTTP checks no certificate; reading the computer's list of them takes long.
            verify=url.lower().startswith("https:"),
        )

    async def ask(
        self, method: str, path: str, *, timeout_s: float | None = None, **request: Any
    ) -> httpx.Response:
        """One request; ``request`` are httpx's own words (``json``, ``files``, ``content`` ...).

        Raises ``LinkLostError`` (nobody answers at that address, or the answer broke off),
        ``SilentDeviceError`` (too late), ``NotAuthorizedError``, ``DeviceRefusedError``.
        """
        if timeout_s is not None:
            request["timeout"] = timeout_s
        try:
            response = await self._client.request(method, path, **request)
        except httpx.TimeoutException as late:
            raise SilentDeviceError(f"no answer to {method} {path}") from late
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as problem:
            told = str(problem) or type(problem).__name__
            raise LinkLostError(f"{method} {path}: {told}") from problem
        if response.is_success:
            return response
        text = _words(response)[:LONGEST_TEXT].strip() or response.reason_phrase
        if response.status_code in NOT_ALLOWED:
            raise NotAuthorizedError(
                f"{method} {path}: {response.status_code} {text}",
                remedy="check the key, or the user and the password, in the machine's options",
            )
        raise DeviceRefusedError(f"{method} {path}: {response.status_code} {text}")

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *ended_by: object) -> None:
        await self.close()


def _words(response: httpx.Response) -> str:
    """The message of an error in JSON, which may carry a whole traceback beside it."""
    try:
        value = response.json()
    except ValueError:
        return response.text
    error = value.get("error", value) if isinstance(value, dict) else value
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else response.text


def json_object(response: httpx.Response) -> dict[str, Any]:
    """The object in an answer. Raises ``DeviceRefusedError`` for anything else."""
    try:
        value = response.json()
    except ValueError as problem:
        raise DeviceRefusedError(f"{response.url.path} answers no JSON") from problem
    if not isinstance(value, dict):
        raise DeviceRefusedError(f"{response.url.path} answers no object")
    return value
