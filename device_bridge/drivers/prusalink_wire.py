"""Requests of PrusaLink's HTTP API v1."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from device_bridge.dialects import prusalink
from device_bridge.errors import DeviceError, DeviceRefusedError
from device_bridge.transports.http import HttpLink, json_object
from domain.shared.errors import InvalidInputError

REPLY_S = 10.0
UPLOAD_S = 120.0
"""Seconds without any byte going on; these printers write slowly to their stick."""
STOP_S = 1.0
NO_CONTENT = 204
LISTED_TRIES = 20
LISTED_PAUSE_S = 0.25


class PrusaLinkWire:
    """One printer's address with what opens it: an API key, or a user's password (digest)."""

    def __init__(self, url: str, *, api_key: str, user: str, password: str, storage: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidInputError("PrusaLink's address is http://HOST", field="port")
        self._url = url.rstrip("/")
        self._headers = {"X-Api-Key": api_key} if api_key else {}
        self._auth = (user, password)
        self._storage = storage.strip("/")
        self._link: HttpLink | None = None

    async def open(self) -> dict[str, Any]:
        """Ask who is there: ``/api/version`` and ``/api/v1/info``. Raises ``DeviceError``."""
        await self.close()
        self._link = self._new(REPLY_S)
        version = json_object(await self._link.ask("GET", "/api/version"))
        info = json_object(await self._link.ask("GET", "/api/v1/info"))
        if not self._storage:
            places = json_object(await self._link.ask("GET", "/api/v1/storage"))
            self._storage = prusalink.storage_in(places)
        if not self._storage:
            raise DeviceError(
                "the printer has no place for files", remedy="put its USB stick or card in"
            )
        return {**info, **version, "storage": self._storage}

    async def close(self) -> None:
        """Close every connection."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def status(self) -> dict[str, Any]:
        """The printer's state and readings."""
        return json_object(await self._ask("GET", "/api/v1/status"))

    async def job(self) -> dict[str, Any] | None:
        """The job on the printer."""
        answer = await self._ask("GET", "/api/v1/job")
        return None if answer.status_code == NO_CONTENT else json_object(answer)

    async def order(self, method: str, job_id: int, verb: str = "") -> None:
        """Pause, resume or (DELETE) end a job."""
        await self._ask(method, f"/api/v1/job/{job_id}{verb}")

    async def upload(self, name: str, program: Path) -> None:
        """Store a file and wait until the printer lists it.

        It is started by an order of its own, so that a lost answer to a long upload never leaves
        open whether the printer began. PrusaLink 0.8 fails on a plain octet stream.
        """
        headers = {
            "Content-Type": "text/x.gcode",
            "Print-After-Upload": "?0",
            "Overwrite": "?1",
        }
        content = await asyncio.to_thread(program.read_bytes)
        async with self._new(UPLOAD_S) as link:
            await link.ask("PUT", self._path(name), content=content, headers=headers)
        for attempt in range(LISTED_TRIES):
            try:
                await self._ask("GET", self._path(name))
            except DeviceRefusedError:
                if attempt + 1 == LISTED_TRIES:
                    raise
                await asyncio.sleep(LISTED_PAUSE_S)
            else:
                return

    async def start(self, name: str) -> None:
        """Print a stored file; 409 when something is on the printer."""
        await self._ask("POST", self._path(name))

    async def delete(self, name: str) -> None:
        """Take a file off its place."""
        await self._ask("DELETE", self._path(name))

    async def end_job_now(self) -> bool:
        """End whatever job there is, on a connection of its own; False when there is none."""
        async with self._new(STOP_S) as link:
            answer = await link.ask("GET", "/api/v1/job")
            found = None if answer.status_code == NO_CONTENT else json_object(answer)
            id = prusalink.job_id(found)
            if id is None or not prusalink.job_of(found).phase.on_the_machine:
                return False
            await link.ask("DELETE", f"/api/v1/job/{id}")
            return True

    async def _ask(self, method: str, path: str) -> httpx.Response:
        if self._link is None:
            raise DeviceError("the printer is not connected")
        return await self._link.ask(method, path)

    def _path(self, name: str) -> str:
        return f"/api/v1/files/{self._storage}/{quote(name)}"

    def _new(self, timeout_s: float) -> HttpLink:
        auth = httpx.DigestAuth(*self._auth) if all(self._auth) and not self._headers else None
        return HttpLink(self._url, headers=self._headers, auth=auth, timeout_s=timeout_s)
