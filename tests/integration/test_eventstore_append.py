"""Saving: what is stored, who wins, what is refused."""

import threading
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import IntegrityError

from domain.shared.errors import InvalidInputError, StorageFullError
from domain.shared.recorded import Envelope
from ops.eventstore.chain import verify
from ops.eventstore.client import Client
from ops.eventstore.jetstream import JetStreamFactory
from ops.eventstore.streams import LogNames, ensure_streams, events_config
from ops.messaging.server import EmbeddedNats
from ops.settings import Settings
from tests.eventlog import OwnLog, an_envelope, fact, own_log, records


@pytest.fixture
def log(nats_server: EmbeddedNats, settings: Settings) -> Iterator[OwnLog]:
    with own_log(nats_server, settings) as log:
        yield log


def test_an_event_is_stored_with_the_whole_envelope_and_a_hash(log: OwnLog) -> None:
    job = uuid4()
    log.factory().application_recorder().insert_events(
        [fact(job, 1, to=3)], envelope=an_envelope("c1")
    )
    (record,) = records(log)
    assert record.subject == f"{log.names.subjects}.job.{job}"
    assert record.body == b'{"to":3}'
    told = {n: v for n, v in record.headers.items() if n.startswith("Imewe-")}
    assert told.pop("Imewe-Recorded").endswith("Z")
    assert told.pop("Imewe-Hash").startswith("sha256:")
    assert UUID(told.pop("Imewe-Event"))
    assert told == {
        "Imewe-Version": "1",
        "Imewe-Topic": "imewe.job:Moved",
        "Imewe-Command": "c1",
        "Imewe-Cause": "a cause",
        "Imewe-Story": "a story",
        "Imewe-Org": "an organisation",
        "Imewe-Site": "a site",
        "Imewe-Actor-Kind": "user",
        "Imewe-Actor": "anna",
        "Imewe-Occurred": "2026-11-21T10:00:00.123Z",
    }


def test_a_save_over_several_aggregates_is_one_chain_and_all_or_nothing(log: OwnLog) -> None:
    recorder = log.factory().application_recorder()
    a, b, c = uuid4(), uuid4(), uuid4()
    assert recorder.insert_events([fact(a, 1)]) == [1]
    batch = [fact(a, 2), fact(b, 1), fact(a, 3), fact(b, 2), fact(c, 1)]
    assert recorder.insert_events(batch) == [2, 3, 4, 5, 6]
    assert recorder.insert_events([fact(b, 3)]) == [7]
    with pytest.raises(IntegrityError):
        recorder.insert_events([fact(c, 2), fact(a, 3)])
    found = records(log)
    assert [r.previous for r in found] == [(), (1,), (), (1, 2), (3,), (), (3, 5)]
    assert verify(found, last=7) is None


def test_of_two_writers_with_the_same_knowledge_one_is_refused(log: OwnLog) -> None:
    first, second = log.factory(), log.factory()
    job = uuid4()
    first.application_recorder().insert_events([fact(job, 1)])
    second.application_recorder().select_events(job)
    first.application_recorder().insert_events([fact(job, 2, by="first")])
    with pytest.raises(IntegrityError):
        second.application_recorder().insert_events([fact(job, 2, by="second")])
    second.application_recorder().insert_events([fact(job, 3, by="second")])
    assert verify(records(log), last=3) is None


def test_writers_that_race_leave_one_unbroken_chain(log: OwnLog) -> None:
    job = uuid4()
    log.factory().application_recorder().insert_events([fact(job, 1)])
    won: list[int] = []

    def race(name: int) -> None:
        recorder = log.factory().application_recorder()
        for _ in range(40):
            version = recorder.select_events(job, desc=True, limit=1)[0].originator_version
            try:
                recorder.insert_events([fact(job, version + 1, by=name)])
            except IntegrityError:
                continue
            won.append(version + 1)

    threads = [threading.Thread(target=race, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(2, len(won) + 2))
    assert verify(records(log), last=len(won) + 1) is None


def test_a_first_version_may_be_zero_and_another_writer_may_go_on(log: OwnLog) -> None:
    job = uuid4()
    log.factory().application_recorder().insert_events([fact(job, 0)])
    assert log.factory().application_recorder().insert_events([fact(job, 1)]) == [2]
    with pytest.raises(IntegrityError):
        log.factory().application_recorder().insert_events([fact(job, 1)])


def test_a_gap_in_the_versions_is_refused(log: OwnLog) -> None:
    recorder = log.factory().application_recorder()
    job = uuid4()
    with pytest.raises(IntegrityError):
        recorder.insert_events([fact(job, 2)])
    recorder.insert_events([fact(job, 1)])
    with pytest.raises(IntegrityError):
        recorder.insert_events([fact(job, 3)])


@pytest.mark.parametrize("count", [49, 50, 51, 52, 170])
def test_loading_walks_back_through_windows_of_fifty(log: OwnLog, count: int) -> None:
    recorder = log.factory().application_recorder()
    job, other = uuid4(), uuid4()
    for version in range(1, count + 1):
        recorder.insert_events([fact(other, version)])
        recorder.insert_events([fact(job, version, n=version)])
    reader = log.factory().application_recorder()
    versions = [e.originator_version for e in reader.select_events(job)]
    assert versions == list(range(1, count + 1))
    assert [e.originator_version for e in reader.select_events(job, gt=3, lte=48)] == list(
        range(4, 49)
    )
    assert [e.originator_version for e in reader.select_events(job, desc=True, limit=2)] == [
        count,
        count - 1,
    ]
    assert max(len(r.previous) for r in records(log)) <= 50


def test_an_event_too_large_or_a_header_with_a_line_break_is_refused(log: OwnLog) -> None:
    recorder = log.factory().application_recorder()
    with pytest.raises(InvalidInputError):
        recorder.insert_events([fact(uuid4(), 1, text="x" * 1_000_000)])
    forged: Envelope = an_envelope()._replace(site_id="x\r\nImewe-Org: other")
    with pytest.raises(InvalidInputError):
        recorder.insert_events([fact(uuid4(), 1)], envelope=forged)
    assert recorder.max_notification_id() is None


def test_a_full_log_refuses_and_takes_events_again_when_there_is_space(log: OwnLog) -> None:
    names = LogNames(stream=f"{log.names.stream}F", subjects=f"full.{log.names.subjects}")
    supervisor = Client(log.address("log_supervisor"))
    config = {**events_config(names), "max_bytes": 20_000}
    ensure_streams(supervisor, [config])
    factory = JetStreamFactory(
        {**log.env, "NATS_STREAM": names.stream, "NATS_SUBJECTS": names.subjects}
    )
    recorder = factory.application_recorder()
    recorder.insert_events([fact(uuid4(), 1, text="x" * 12_000)])
    for batch in (1, 2):
        with pytest.raises(StorageFullError):
            recorder.insert_events([fact(uuid4(), 1, text="x" * 12_000) for _ in range(batch)])
    supervisor.api(f"STREAM.UPDATE.{names.stream}", {**config, "max_bytes": 200_000})
    assert recorder.insert_events([fact(uuid4(), 1, text="x" * 12_000)]) == [2]
    supervisor.api(f"STREAM.DELETE.{names.stream}")
    supervisor.close()
    factory.close()
