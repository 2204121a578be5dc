"""A real log of real jobs under a real notary, its proof files, and ways to tamper with them."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from commands.application import Imewe
from ops.eventstore.client import Client
from ops.eventstore.jetstream import environment_of
from ops.eventstore.loading import LogFiles
from ops.hosting.account import server_account
from ops.messaging.server import EmbeddedNats
from ops.notary.evidence import Evidence, kept_evidence
from ops.notary.exporting import JobStory, Range, job_lines, path_before, range_lines
from ops.notary.head_stream import HeadStream
from ops.notary.heads import Head, sign_head
from ops.notary.keys import NotaryKey, load_key
from ops.notary.verify_imewe import ProofError, line_of, verify
from tests.notarial import Shop as OwnShop
from tests.notarial import following, opened_shop
from tests.stories import FIGURES, Shop, Story, replace_organisation

Line = dict[str, Any]


@dataclass
class LoggedStory(Story):
    """A story that goes into a real log."""

    application: Imewe | None = None

    def tell(self, *aggregates: Any) -> None:
        assert self.application is not None
        for aggregate in aggregates:
            self.application.save(aggregate, envelope=self.envelope())


@dataclass
class ProvedLog:
    """A log with jobs, signed up to ``signed``; ``jobs`` are made, failed once, cancelled."""

    own: OwnShop
    home: Path
    jobs: list[str]
    foreign_job: str
    signed: int
    size: int

    def client(self) -> Client:
        return Client(self.own.address("log_notary"))

    @contextlib.contextmanager
    def evidence(self) -> Iterator[tuple[Evidence, LogFiles]]:
        client = self.client()
        log = LogFiles(
            client, direct_get="$JS.API.DIRECT.GET.IMEWE_EVENTS", subjects="imewe.events"
        )
        with kept_evidence(self.home, HeadStream(client)) as evidence:
            assert evidence is not None
            yield evidence, log
        client.close()

    def job_file(self, job_id: str) -> bytes:
        with self.evidence() as (evidence, log):
            story = JobStory.read(log, job_id)
            return b"".join(job_lines(evidence, story, job_id, log_size=self.size))

    def range_file(self, first: int = 1, last: int = 0) -> bytes:
        with self.evidence() as (evidence, log):
            wanted = Range.of(evidence.history, first=first, last=last, log_size=self.size)
            path = path_before(evidence, first)
            return b"".join(range_lines(evidence.history, wanted, path, log))


@contextlib.contextmanager
def proved_log(server: EmbeddedNats, home: Path, *, tail: bool = True) -> Iterator[ProvedLog]:
    """Two organisations with jobs, a key that was changed; with a ``tail`` that nobody signed."""
    with opened_shop(server, home) as own:
        application = Imewe(environment_of(own.address("log_commands")))
        story = LoggedStory(application=application)
        shop = Shop.opened(story)
        shop.found()
        jobs = [str(shop.make(quantity=2).id)]
        with following(own, home, events=25) as notary:
            jobs.append(_fail_once(shop))
            notary.until_signed(_size(own))
            notary.notary.rotate()
            shop.order(quantity=3)
            elsewhere = replace_organisation(story)
            foreign = str(Shop.opened(elsewhere, name="Mill").make().id)
            jobs.append(str(shop.make().id))
            jobs.append(_second_piece_only(shop))
            signed = notary.until_signed(_size(own)).signed
        if tail:
            job, _ = shop.order()
            jobs.append(str(job.id))
        size = _size(own)
        yield ProvedLog(own, home, jobs, foreign, signed, size)
        application.close()


def _fail_once(shop: Shop) -> str:
    """A job of one part whose first attempt found no machine, and whose first piece was lost."""
    job, part = shop.order()
    build, dispatch = shop.begin(job, part, 0)
    build.fail("thermal", native_text="", figures=FIGURES)
    shop.node.end_execution(str(build.id), "failed")
    shop.lot.waste(str(build.id), 99, reason="thermal")
    dispatch.close("failed")
    part.scrap_piece(0, reason="thermal", by="service/processes")
    shop.story.tell(build, shop.node, shop.lot, dispatch)
    shop.follow(job, part)
    build, dispatch = shop.begin(job, part, 1)
    shop.end(job, part, 1, build, dispatch)
    return str(job.id)


def _second_piece_only(shop: Shop) -> str:
    """A job whose second piece is made before its first found a machine."""
    job, part = shop.order(quantity=3)
    build, dispatch = shop.begin(job, part, 1)
    shop.end(job, part, 1, build, dispatch)
    return str(job.id)


def _size(own: OwnShop) -> int:
    client = Client(own.address("log_notary"))
    size = int(client.api("STREAM.INFO.IMEWE_EVENTS")["state"]["last_seq"])
    client.close()
    return size


def found_in(path: Path, data: bytes, **how: Any) -> dict[str, Any]:
    """What the standalone verifier says of such a file, or what it finds wrong."""
    path.write_bytes(data)
    try:
        return verify(path, **how)
    except ProofError as error:
        reason, sequence, code = error.args
        return {"verified": False, "sequence": sequence, "reason": reason, "exit": code}


def lines_in(data: bytes) -> list[Line]:
    return [json.loads(line) for line in data.splitlines()]


def sealed(lines: list[Line], **end: int) -> bytes:
    """The file with a last line that fits: whoever tampers can count and hash too."""
    *body, last = lines
    data = b"".join(map(line_of, body))
    events = sum("event" in line for line in body)
    told = {
        "events": end.get("events", events),
        "unsigned_tail": end.get("unsigned_tail", last["end"]["unsigned_tail"]),
        "sha256": sha256(data).hexdigest(),
    }
    return data + line_of({"end": told})


def changed(data: bytes, change: Callable[[list[Line]], Any]) -> bytes:
    """The file after a change of its lines, with a last line that fits."""
    lines = lines_in(data)
    change(lines)
    return sealed(lines)


def at(lines: list[Line], sequence: int) -> int:
    """The place of an event's line."""
    return next(
        i for i, line in enumerate(lines) if line.get("event", {}).get("sequence") == sequence
    )


class Files(NamedTuple):
    """Exports of one log. ``job`` is whole under the head, ``failed`` had two builds of one part,
    ``begun`` is newer than the head; ``whole`` ends with a tail, ``stretch`` begins within."""

    job: bytes
    failed: bytes
    begun: bytes
    foreign: bytes
    whole: bytes
    stretch: bytes
    signed: int
    size: int
    keys: list[str]
    heads: list[str]
    sign: Callable[[Head], str]
    signers: list[NotaryKey]
    gap: bytes


@cache
def files() -> Files:
    """Made once for all tests of a session."""
    outer = Path(tempfile.mkdtemp(prefix="imewe-test-"))
    if os.geteuid() == 0:
        outer.chmod(0o711)
    home = outer / "home"
    server = EmbeddedNats(home, server_account())
    server.start()
    try:
        with proved_log(server, home) as log, log.evidence() as (evidence, _):
            history = evidence.history
            made, failed, *_, gap, begun = log.jobs
            last = load_key(home, history.origin, len(history.keys))
            return Files(
                job=log.job_file(made),
                failed=log.job_file(failed),
                begun=log.job_file(begun),
                foreign=log.job_file(log.foreign_job),
                whole=log.range_file(),
                stretch=log.range_file(60, 180),
                signed=log.signed,
                size=log.size,
                keys=[key.key.text for key, _ in history.keys],
                heads=[each.note for each in history.heads],
                sign=partial(_signed_by, last),
                signers=[load_key(home, history.origin, 1), last],
                gap=log.job_file(gap),
            )
    finally:
        server.stop()
        shutil.rmtree(outer)


def _signed_by(key: NotaryKey, head: Head) -> str:
    return sign_head(head, key)
