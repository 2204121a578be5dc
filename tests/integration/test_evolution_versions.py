"""Two releases on one log: the older one leaves alone what it cannot know, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from commands.application import Imewe
from domain.job.aggregate import Job
from domain.shared.errors import NewerVersionError
from domain.shared.identifiers import derived
from domain.shared.recorded import RecordedEvent
from ops.eventstore.client import Client
from ops.eventstore.reader import LogReader
from ops.eventstore.stored import OutgoingEvent
from ops.messaging.server import EmbeddedNats
from ops.projecting.applying import apply, parked_keys
from ops.projecting.comparing import model_states
from ops.projecting.places import Connection, settle
from ops.projecting.retrying import retry
from ops.projecting.source import next_batch
from ops.projecting.versions import Versions
from ops.replaying.checking import NEWER, UNREADABLE, VIOLATION, check
from ops.replaying.memory import MemoryModel
from ops.replaying.validating import Schemas
from ops.settings import Settings
from projections.catalogue import CATALOGUE
from schema.registry import UPCASTERS
from tests.eventlog import MAPPER, OwnLog, own_log, records
from tests.projecting import migrated
from tests.replaying import stored
from tests.stories import Shop, Story

TOPIC = Job.Reprioritized.TOPIC
VERSIONS = Versions(CATALOGUE)


@dataclass
class TwoReleases:
    """A shop's log. The later release writes priorities as text, with a reason."""

    log: OwnLog
    job: Job
    other: Job
    reader: LogReader
    connection: Connection

    def append(self, job: Job, topic: str, body: dict[str, Any], *, version: int) -> None:
        """As a later release would, behind what is there."""
        job_events = [r for r in records(self.log) if r.aggregate == str(job.id)]
        event = OutgoingEvent(
            originator_id=job.id,
            originator_version=job_events[-1].version + 1,
            topic=topic,
            state=orjson.dumps(body),
            occurred_at=job_events[-1].stored_at,
            schema_version=version,
        )
        envelope = Story().envelope()
        self.log.factory().application_recorder().insert_events([event], envelope=envelope)

    def project(self) -> None:
        """As the runner does, from wherever each projection stands."""
        for projection in CATALOGUE:
            place = settle(self.connection, projection)
            parked = parked_keys(self.connection, place.schema)
            position = place.position
            while batch := next_batch(self.reader, position):
                apply(
                    self.connection,
                    projection,
                    place.schema,
                    batch,
                    after=position,
                    parked=parked,
                )
                position = batch.upto

    def parked(self) -> dict[str, tuple[str, int, int]]:
        """By projection: whose events, since when, how many later ones were skipped."""
        rows = self.connection.execute(
            "SELECT p.name, k.key, k.position, k.skipped FROM imewe.projections p"
            " JOIN imewe.parked_keys k USING (schema)"
        ).fetchall()
        return {name: (key, position, skipped) for name, key, position, skipped in rows}


@contextmanager
def later_release(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The code of the later release, with its class and its upcaster."""

    def with_reason(body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "why": "not said"}

    with monkeypatch.context() as patch:
        patch.setattr(Job.Reprioritized, "class_version", 2, raising=False)
        patch.setitem(UPCASTERS._steps, (TOPIC, 1), with_reason)
        yield


@pytest.fixture
def shop(nats_server: EmbeddedNats, settings: Settings, database_url: str) -> Iterator[TwoReleases]:
    story = Story()
    place = Shop.opened(story)
    job, _ = place.order()
    other, _ = place.order()
    with own_log(nats_server, settings) as log:
        stored(log, story.events)
        client = Client(log.address("log_commands"))
        reader = LogReader(client, names=log.names)
        with migrated(database_url) as connection:
            yield TwoReleases(log, job, other, reader, connection)
        reader.close()
        client.close()


def rows(shop: TwoReleases) -> dict[str, int]:
    """Priorities as readers see them."""
    schema = settle(shop.connection, CATALOGUE[0]).schema
    found = shop.connection.execute(f"SELECT id, priority FROM {schema}.jobs".encode()).fetchall()
    return dict(found)


def test_an_older_release_parks_what_a_newer_one_wrote_and_the_upgrade_reads_it_all(
    shop: TwoReleases, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, other = str(shop.job.id), str(shop.other.id)
    shop.append(shop.other, TOPIC, {"priority": 7}, version=1)
    shop.append(shop.job, TOPIC, {"priority": 9, "why": "late"}, version=2)
    newer = shop.reader.last_position()
    shop.append(shop.job, TOPIC, {"priority": 8}, version=1)
    shop.append(shop.other, TOPIC, {"priority": 6}, version=1)

    shop.project()
    assert rows(shop) == {job: 5, other: 6}, "one stays as it was, the other goes on"
    skipped = {"jobs": 1, "history": 1, "kpis": 0}
    assert shop.parked() == {name: (job, newer, count) for name, count in skipped.items()}

    app = Imewe({**shop.log.env, "MAPPER_TOPIC": MAPPER})
    with pytest.raises(NewerVersionError, match="has version 2, this program knows 1") as caught:
        app.load(shop.job.id)
    assert "upgrade" in caught.value.remedy
    assert vars(app.load(shop.other.id))["priority"] == 6

    report = check(records(shop.log))
    assert (report.counts, len(report.aggregates)) == ({NEWER: 1}, 1)
    assert report.versions[TOPIC, 2] == 1
    assert report.problems[0].position == newer
    assert not report.is_readable

    with later_release(monkeypatch):
        assert check(records(shop.log)).is_readable
        assert vars(app.load(shop.job.id))["priority"] == 8
        for name in shop.parked():
            assert retry(shop.connection, shop.reader, VERSIONS, name).gone_on == [job]
        assert shop.parked() == {}
        assert rows(shop) == {job: 8, other: 6}
        for state in model_states(shop.connection, CATALOGUE):
            model = MemoryModel(VERSIONS.named(state.name))
            model.fold(whole_log(shop))
            assert model.state_hash().text == state.hash, state.name
    app.close()


def whole_log(shop: TwoReleases) -> list[RecordedEvent]:
    return shop.reader.read(0, 1000)


def test_an_event_that_is_not_known_at_all_is_left_alone_likewise(shop: TwoReleases) -> None:
    job, other = str(shop.job.id), str(shop.other.id)
    shop.append(shop.job, "imewe.job:Archived", {}, version=1)
    shop.append(shop.other, TOPIC, {"priority": 6}, version=1)
    robot = derived("robot")
    event = OutgoingEvent(
        originator_id=robot,
        originator_version=1,
        topic="imewe.robot:Built",
        state=b"{}",
        occurred_at=Story().now,
        schema_version=1,
    )
    shop.log.factory().application_recorder().insert_events([event], envelope=Story().envelope())
    shop.project()
    assert rows(shop) == {job: 5, other: 6}
    assert {key for key, _, _ in shop.parked().values()} == {job}
    report = check(records(shop.log))
    assert report.counts == {NEWER: 2}
    assert {each.topic for each in report.problems} == {"imewe.job:Archived", "imewe.robot:Built"}


@pytest.mark.parametrize("topic", ["os:system", "imewe.job:Job", "imewe.job:Job.submit", "this:s"])
def test_a_topic_is_never_taken_for_something_to_import(
    shop: TwoReleases, topic: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.append(shop.job, topic, {}, version=1)
    report = check(records(shop.log))
    assert report.counts == {NEWER: 1}
    assert capsys.readouterr().out == "", "importing `this` prints"


def test_what_is_broken_and_what_breaks_its_schema_are_told_apart(
    shop: TwoReleases, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.append(shop.job, TOPIC, {"priority": "high"}, version=1)
    shop.append(shop.job, TOPIC, {"priority": 3, "by": "me"}, version=1)
    shop.append(shop.other, "imewe.job:CancelRequested", {}, version=0)
    found = records(shop.log)
    assert check(found).counts == {UNREADABLE: 1}
    report = check(found, schemas=Schemas())
    assert report.counts == {UNREADABLE: 1, VIOLATION: 2}
    assert [each.reason for each in report.problems][:2] == [
        "body.priority is no integer",
        "body.by is unknown",
    ]
    assert report.told()["aggregates"] == 2
    with later_release(monkeypatch):
        report = check(found[:-3], schemas=Schemas())
        assert report.upcast == 0
