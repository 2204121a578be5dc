"""The JetStream object store's own protocol, as far as files and small notes need it.

An object is a run of chunk messages on one random subject (``$O.<bucket>.C.<nuid>``) and one meta
message on a subject made from its name (``$O.<bucket>.M.<base64 of the name>``): the layout of
NATS ADR-20, so the ``nats object`` command line reads the same bucket. Everything is read by
direct get with the request in the payload, because the bridge may publish on that one subject and
make no consumer.
"""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError, NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.errors import APIError

from domain.shared.errors import StorageFullError, UnavailableError

ANSWER_TIMEOUT_S: Final = 10.0
CHUNKS_AT_ONCE: Final = 8
_WRONG_LAST_SEQUENCE: Final = 10071
_NOBODY: Final = "503"
_FULL: Final = frozenset({10023, 10047, 10077})
"""Insufficient resources, insufficient storage, maximum bytes of the stream reached."""
_LOST: Final = (NatsTimeoutError, NoRespondersError, ConnectionClosedError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """What the meta message of an object says. ``sequence`` is that message's own."""

    name: str
    nuid: str
    size: int
    chunks: int
    sha256: bytes
    facts: dict[str, str] = field(default_factory=dict)
    deleted: bool = False
    sequence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """Chunks without an object: what a killed upload left."""

    nuid: str
    last_written: datetime


class AlreadyStoredError(Exception):
    """Somebody else stored an object of this name since it was last looked at."""


class Bucket:
    """One bucket over one NATS connection. Raises ``UnavailableError`` when it does not answer."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._stream = f"OBJ_{name}"
        self._prefix = f"$O.{name}"

    async def append(self, nuid: str, chunk: bytes) -> int:
        """Store the next chunk of an unfinished object and return its sequence."""
        return await self._publish(f"{self._prefix}.C.{nuid}", chunk, {})

    async def commit(self, meta: Meta, *, replacing: int) -> None:
        """Make an object visible, in one message: the only step that counts.

        ``replacing`` is the sequence of the name's present meta message, 0 for none; raises
        ``AlreadyStoredError`` when that is no longer so.
        """
        headers = {
            "Nats-Rollup": "sub",
            "Nats-Expected-Last-Subject-Sequence": str(replacing),
        }
        await self._publish(self._meta_subject(meta.name), _meta_body(meta), headers)

    async def meta(self, name: str) -> Meta | None:
        """The meta message of a name, deleted ones too; ``None`` when there never was one."""
        message = await self._ask({"last_by_subj": self._meta_subject(name)})
        if message is None:
            return None
        return _parse_meta(message.data, sequence=int(_header(message, "Nats-Sequence")))

    async def chunks(self, meta: Meta) -> AsyncIterator[bytes]:
        """The chunks of an object in order, a few at a time; ends early when some are missing."""
        subject = f"{self._prefix}.C.{meta.nuid}"
        inbox = self._client.new_inbox()
        answers = await self._client.subscribe(inbox)
        next_sequence = int(meta.facts.get("first", "1"))
        try:
            for begun in range(0, meta.chunks, CHUNKS_AT_ONCE):
                wanted = min(CHUNKS_AT_ONCE, meta.chunks - begun)
                request = {"seq": next_sequence, "batch": wanted, "next_by_subj": subject}
                await self._client.publish(self._direct_get, json.dumps(request).encode(), inbox)
                for _ in range(wanted):
                    message = await answers.next_msg(timeout=ANSWER_TIMEOUT_S)
                    if _ended(message):
                        return
                    next_sequence = int(_header(message, "Nats-Sequence")) + 1
                    yield message.data
                await answers.next_msg(timeout=ANSWER_TIMEOUT_S)  # 204, the end of the batch
        except _LOST as lost:
            raise _no_answer() from lost
        finally:
            await answers.unsubscribe()

    async def objects(self) -> AsyncIterator[Meta]:
        """The meta message of every object that was not deleted."""
        for subject in await self._subjects("M"):
            message = await self._ask({"last_by_subj": subject})
            if message is not None:
                meta = _parse_meta(message.data, sequence=int(_header(message, "Nats-Sequence")))
                if not meta.deleted:
                    yield meta

    async def discard(self, nuid: str) -> None:
        """Remove the chunks of an object that will never be committed."""
        await self._api("PURGE", {"filter": f"{self._prefix}.C.{nuid}"})

    async def unfinished(self) -> list[Stale]:
        """Chunk runs that no meta message names, with the time of their last chunk."""
        written = await self._subjects("C")
        if not written:
            return []
        named = set()
        for subject in await self._subjects("M"):
            message = await self._ask({"last_by_subj": subject})
            if message is not None:
                named.add(_parse_meta(message.data, sequence=0).nuid)
        stale = []
        for subject in written:
            nuid = subject.rpartition(".")[2]
            message = None if nuid in named else await self._ask({"last_by_subj": subject})
            if message is not None:
                at = datetime.fromisoformat(_header(message, "Nats-Time-Stamp")[:19] + "+00:00")
                stale.append(Stale(nuid=nuid, last_written=at))
        return stale

    @property
    def largest_message(self) -> int:
        """Bytes the server takes in one message."""
        return self._client.max_payload

    @property
    def _direct_get(self) -> str:
        return f"$JS.API.DIRECT.GET.{self._stream}"

    def _meta_subject(self, name: str) -> str:
        return f"{self._prefix}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"

    async def _publish(self, subject: str, body: bytes, headers: dict[str, str]) -> int:
        try:
            ack = await self._client.jetstream().publish(
                subject, body, timeout=ANSWER_TIMEOUT_S, headers=headers or None
            )
        except APIError as refused:
            if refused.err_code == _WRONG_LAST_SEQUENCE:
                raise AlreadyStoredError(subject) from refused
            if refused.err_code in _FULL:
                raise StorageFullError("The file store has no space left.") from refused
            raise UnavailableError(
                f"The file store refused to write: {refused.description}."
            ) from refused
        except _LOST as lost:
            raise _no_answer() from lost
        return ack.seq

    async def _ask(self, request: dict[str, Any]) -> Msg | None:
        body = json.dumps(request).encode()
        try:
            message = await self._client.request(self._direct_get, body, timeout=ANSWER_TIMEOUT_S)
        except _LOST as lost:
            raise _no_answer() from lost
        return None if _ended(message) else message

    async def _api(self, verb: str, request: dict[str, Any]) -> dict[str, Any]:
        subject = f"$JS.API.STREAM.{verb}.{self._stream}"
        body = json.dumps(request).encode()
        try:
            message = await self._client.request(subject, body, timeout=ANSWER_TIMEOUT_S)
        except _LOST as lost:
            raise _no_answer() from lost
        answer: dict[str, Any] = json.loads(message.data)
        if "error" in answer:
            raise UnavailableError(f"The file store refused: {answer['error']['description']}.")
        return answer

    async def _subjects(self, kind: str) -> list[str]:
        wanted = f"{self._prefix}.{kind}.>"
        found: list[str] = []
        while True:
            request = {"subjects_filter": wanted, "offset": len(found)}
            answer = await self._api("INFO", request)
            page = answer["state"].get("subjects") or {}
            found += page
            if not page or len(found) >= answer.get("total", 0):
                return found


def _meta_body(meta: Meta) -> bytes:
    digest = base64.urlsafe_b64encode(meta.sha256).decode()
    return json.dumps(
        {
            "name": meta.name,
            "bucket": "",
            "nuid": meta.nuid,
            "size": meta.size,
            "chunks": meta.chunks,
            "digest": f"SHA-256={digest}",
            "metadata": meta.facts,
        }
    ).encode()


def _parse_meta(body: bytes, *, sequence: int) -> Meta:
    stored = json.loads(body)
    return Meta(
        name=stored["name"],
        nuid=stored.get("nuid", ""),
        size=stored.get("size", 0),
        chunks=stored.get("chunks", 0),
        sha256=base64.urlsafe_b64decode(stored.get("digest", "").removeprefix("SHA-256=")),
        facts=stored.get("metadata") or {},
        deleted=stored.get("deleted", False),
        sequence=sequence,
    )


def _ended(message: Msg) -> bool:
    """Whether this is a status (404 none, 204 end of batch) and not a stored message."""
    status = (message.headers or {}).get("Status", "")
    if status == _NOBODY:
        raise _no_answer()
    return bool(status)


def _header(message: Msg, name: str) -> str:
    return (message.headers or {})[name]


def _no_answer() -> UnavailableError:
    return UnavailableError(
        "The file store does not answer.", remedy="Try again; the same upload may be sent again."
    )
