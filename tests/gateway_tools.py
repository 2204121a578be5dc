"""A gateway whose wires end in fakes: commands, stops, files and rows."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from fastapi import FastAPI
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from commands.tokens import Signer, Verifier
from domain.ports import ArtifactRef
from domain.shared.errors import NotFoundError, UnauthenticatedError
from gateways.app import create_app
from gateways.graphql.live import LiveHub, Readings
from gateways.ports import Gateway
from gateways.security.denials import Denial, Denials
from gateways.security.exports import Exports
from gateways.security.sign_in import SignIn
from ops.eventstore.rows import event_of_row

ORGANISATION = "5b3c6a52-9f2e-5d9a-8a57-0f6b1c2d3e4f"
ELSEWHERE = "0a1b2c3d-4e5f-5a6b-8c7d-8e9f0a1b2c3d"
PERSON = "1d2c3b4a-5f6e-5d7c-8b9a-0f1e2d3c4b5a"


class SettableClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.present = datetime(2026, 1, 12, 10, 30, tzinfo=UTC)

    def now(self) -> datetime:
        return self.present


class FakeCommands:
    """Remembers what was sent; answers, or refuses with ``refusal``."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.refusal: Exception | None = None

    async def send(self, name: str, payload: dict[str, Any], **more: str) -> dict[str, Any]:
        self.sent.append((name, payload, more))
        if self.refusal:
            raise self.refusal
        return {"position": 7, "id": "0e1f2a3b-4c5d-5e6f-8a7b-9c8d7e6f5a4b", "free_mg": 5}


class FakePasswords:
    """Knows one person."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    async def check(self, *, mail: str, password: str, address: str = "") -> dict[str, Any]:
        self.addresses.append(address)
        if (mail, password) != ("ada@example.org", "correct horse"):
            raise UnauthenticatedError("mail or password is wrong")
        grants = [{"role": "designer", "organisation_id": ORGANISATION}]
        return {"account_id": PERSON, "name": "Ada", "grants": grants}


class FakeTrail:
    """Remembers denials that were told; gives ``page`` to whoever reads."""

    def __init__(self) -> None:
        self.denials: list[tuple[Denial, int]] = []
        self.steps: list[tuple[str, str, str]] = []
        self.asked: list[tuple[int, int | None]] = []
        self.page: dict[str, Any] = {"entries": [], "oldest": None, "has_more": False}
        self.refusal: Exception | None = None

    async def step(self, told: Mapping[str, str], token: str) -> None:
        if self.refusal:
            raise self.refusal
        assert token
        self.steps.append((told["outcome"], told["resource"], told.get("reason", "")))

    async def tell(self, denial: Denial, count: int) -> None:
        await asyncio.sleep(0)
        if self.refusal:
            raise self.refusal
        self.denials.append((denial, count))

    async def read(
        self, *, first: int, before: int | None, token: str, about: str | None = None
    ) -> dict[str, Any]:
        self.asked.append((first, before))
        if self.refusal:
            raise self.refusal
        return self.page


class FakeStops:
    """Remembers which machines were stopped."""

    def __init__(self) -> None:
        self.stopped: list[tuple[str, str, str]] = []
        self.refusal: Exception | None = None

    async def stop(self, *, bridge: str, node_id: str, by: str) -> dict[str, Any]:
        if self.refusal:
            raise self.refusal
        self.stopped.append((bridge, node_id, by))
        return {"ok": True, "confirmed": True, "native_text": "halted", "latency_ms": 12.5}


class FakeFaults:
    """Remembers which machines were cleared, and whether an emergency stop was to stay."""

    def __init__(self) -> None:
        self.cleared: list[tuple[str, str, str, bool]] = []
        self.refusal: Exception | None = None

    async def clear_fault(
        self, *, bridge: str, node_id: str, by: str, keep_stop: bool
    ) -> dict[str, Any]:
        if self.refusal:
            raise self.refusal
        self.cleared.append((bridge, node_id, by, keep_stop))
        return {"execution": "READY"}


class FakeAttending:
    """Remembers what people said; ``waiting`` holds what waits for them, by bridge."""

    def __init__(self) -> None:
        self.words: list[dict[str, Any]] = []
        self.waiting: dict[str, list[dict[str, Any]]] = {}
        self.refusal: Exception | None = None

    async def tasks(self, *, bridge: str) -> list[dict[str, Any]]:
        return self.waiting.get(bridge, [])

    async def attend(self, *, bridge: str, word: dict[str, Any]) -> dict[str, Any]:
        if self.refusal:
            raise self.refusal
        self.words.append({"bridge": bridge, **word})
        return {"fresh": True, "execution": "ACTIVE"}


class FakePeople:
    """Tells what ``known`` holds; counts how often it was asked."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, str | None]] = {}
        self.notes: dict[str, str | None] = {}
        self.certificates: dict[str, dict[str, Any]] = {}
        self.refusal: Exception | None = None
        self.asked: list[tuple[list[str], str]] = []

    async def reveal(
        self, account_ids: Sequence[str], *, token: str
    ) -> dict[str, dict[str, str | None]]:
        self.asked.append((list(account_ids), token))
        return {each: self.known[each] for each in account_ids if each in self.known}

    async def reveal_notes(self, words: Sequence[str], *, token: str) -> dict[str, str | None]:
        self.asked.append((list(words), token))
        if self.refusal:
            raise self.refusal
        return {each: self.notes[each] for each in words if each in self.notes}

    async def certificate(self, subject_id: str, *, token: str) -> dict[str, Any] | None:
        if self.refusal:
            raise self.refusal
        return self.certificates.get(subject_id)


class FakeAdministration:
    """Remembers what was asked; answers from ``answers`` by verb, or refuses."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, Any], str]] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self.refusal: Exception | None = None

    async def ask(
        self, service: str, verb: str, payload: dict[str, Any], *, token: str
    ) -> dict[str, Any]:
        self.asked.append((service, verb, payload, token))
        if self.refusal:
            raise self.refusal
        return self.answers.get(verb, {})


class FakeLog:
    """A log of the events in ``events``, as they are stored."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    async def read(self, after: int, limit: int) -> list[dict[str, Any]]:
        return [each for each in self.events if each["sequence"] > after][:limit]

    async def last_position(self) -> int:
        return len(self.events)


class FakeFiles:
    """Counts what streams in and keeps the largest chunk's size."""

    def __init__(self) -> None:
        self.taken = b""
        self.largest = 0
        self.finished = False

    async def put(
        self,
        chunks: AsyncIterator[bytes],
        *,
        organisation_id: str,
        name: str,
        format: str | None = None,
    ) -> ArtifactRef:
        async for chunk in chunks:
            self.taken += chunk
            self.largest = max(self.largest, len(chunk))
        self.finished = True
        return ArtifactRef(digest="d" * 64, size=len(self.taken), format="stl", name=name)

    async def info(self, digest: str, *, organisation_id: str) -> ArtifactRef:
        if digest != "d" * 64 or organisation_id != ORGANISATION:
            raise NotFoundError("there is no such file", field="artifact")
        return ArtifactRef(digest=digest, size=3, format="stl", name="ä b.stl")

    async def open(self, digest: str, *, organisation_id: str) -> AsyncIterator[bytes]:
        yield b"abc"


class NoDatabase:
    """A pool whose server is away. ``errors`` come first, then nothing but time-outs."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.checked = 0

    async def check(self) -> None:
        self.checked += 1

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        raise self.errors.pop(0) if self.errors else PoolTimeout("couldn't get a connection")
        yield


class FakeTelemetry:
    """Hands samples to whoever follows; counts who does."""

    def __init__(self) -> None:
        self.takers: dict[str, Callable[[Readings], None]] = {}

    async def follow(
        self, node_id: str, take: Callable[[Readings], None]
    ) -> Callable[[], Awaitable[None]]:
        self.takers[node_id] = take

        async def leave() -> None:
            del self.takers[node_id]

        return leave


class Bench:
    """A gateway with fakes at every wire, and tokens for it."""

    def __init__(self, **changes: Any) -> None:
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.signer = Signer(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.clock = SettableClock()
        self.gone: set[str] = set()
        self.commands = FakeCommands()
        self.stops = FakeStops()
        self.trail = FakeTrail()
        self.passwords = FakePasswords()
        self.faults = FakeFaults()
        self.attending = FakeAttending()
        self.people = FakePeople()
        self.administration = FakeAdministration()
        self.log = FakeLog()
        self.files = FakeFiles()
        self.telemetry = FakeTelemetry()
        parts: dict[str, Any] = {
            "commands": self.commands,
            "pool": cast("AsyncConnectionPool[Any]", NoDatabase()),
            "artifacts": self.files,
            "stops": self.stops,
            "faults": self.faults,
            "attending": self.attending,
            "people": self.people,
            "trail": self.trail,
            "administration": self.administration,
            "log": self.log,
            "denials": Denials(self.trail.tell),
            "exports": Exports(self.trail.step),
            "sign_in": SignIn(
                self.passwords, self.signer, clock=self.clock, new_id=new_id, ttl_s=900
            ),
            "verifier": Verifier(public, clock=self.clock, is_gone=self.gone.__contains__),
            "live": LiveHub(self.telemetry),
            "clock": self.clock,
            "new_id": new_id,
            "decode": event_of_row,
        }
        self.gateway = Gateway(**{**parts, **changes})
        self.app: FastAPI = create_app(self.gateway)

    def token(self, *roles: str, ttl_s: int = 900, place: str = ORGANISATION) -> str:
        """A token of Ada's with these roles."""
        return self.signer.sign(
            account_id=PERSON,
            name="Ada",
            grants=[{"role": role, "organisation_id": place} for role in roles or ("admin",)],
            token_id=new_id(),
            now=self.clock.now(),
            ttl_s=ttl_s,
        )

    @asynccontextmanager
    async def client(self, token: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """An HTTP client; without ``token`` an admin's, with an empty one nobody's."""
        token = self.token() if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://gateway", headers=headers
        ) as client:
            yield client

    async def ask(
        self, query: str, variables: dict[str, Any] | None = None, *, token: str | None = None
    ) -> dict[str, Any]:
        """The whole JSON answer to one operation."""
        async with self.client(token) as client:
            answer = await client.post("/graphql", json={"query": query, "variables": variables})
        return cast("dict[str, Any]", answer.json())


def new_id() -> str:
    return str(uuid4())
