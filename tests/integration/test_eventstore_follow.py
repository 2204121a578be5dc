"""Following the log: from its own account, and from APP through the imports."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import orjson
import pytest
from eventsourcing.application import Application
from eventsourcing.domain import event
from eventsourcing.persistence import StoredEvent

from domain.shared.aggregate import Created, ImeweAggregate
from ops.eventstore.client import Client
from ops.eventstore.jetstream import JetStreamFactory
from ops.eventstore.reader import LogReader, PoisonEventError
from ops.eventstore.recorder import FALLBACK_S
from ops.eventstore.streams import LogNames, ensure_streams
from ops.messaging.server import EmbeddedNats, credentials
from ops.settings import Settings
from tests.eventlog import MAPPER, MODULE, OwnLog, an_envelope


class Lamp(ImeweAggregate):
    TOPIC = "imewe.lamp:Lamp"

    class Hung(Created):
        TOPIC = "imewe.lamp:Hung"
        place: str

    class Switched(ImeweAggregate.Event):
        TOPIC = "imewe.lamp:Switched"
        on: bool

    @event(Hung)
    def __init__(self, place: str) -> None:
        self.place = place
        self.on = False

    @event(Switched)
    def switch(self, on: bool) -> None:
        self.on = on


class Lamps(Application[UUID]):
    is_snapshotting_enabled = True
    snapshotting_intervals = {Lamp: 50}  # noqa: RUF012 - the library declares it so


@pytest.fixture
def shop(fresh_nats: EmbeddedNats, fresh_settings: Settings) -> Iterator[OwnLog]:
    """A server of its own with all streams of the LOG account, under their real names."""
    shop = OwnLog(server=fresh_nats, passwords=credentials(fresh_settings.home), names=LogNames())
    supervisor = Client(shop.address("log_supervisor"))
    ensure_streams(supervisor)
    ensure_streams(supervisor)
    supervisor.close()
    yield shop
    for factory in shop.factories:
        factory.close()


@pytest.fixture
def app(shop: OwnLog) -> Iterator[Lamps]:
    lamps = Lamps(env={**shop.env, "PERSISTENCE_MODULE": MODULE, "MAPPER_TOPIC": MAPPER})
    yield lamps
    lamps.close()


@pytest.fixture(params=["log_commands", "log_processes", "projections", "gateway", "processes"])
def reader(shop: OwnLog, request: pytest.FixtureRequest) -> Iterator[LogReader]:
    client = Client(shop.address(request.param))
    in_log = request.param.startswith("log_")
    reader = LogReader(client) if in_log else LogReader.through_import(client)
    yield reader
    reader.close()
    client.close()


@contextlib.contextmanager
def soon(act: Callable[[], object]) -> Iterator[None]:
    """Do something in a tenth of a second, in another thread."""
    timer = threading.Timer(0.1, act)
    timer.start()
    yield
    timer.join()


def switched(app: Lamps, lamp: Lamp) -> None:
    lamp.switch(on=False)
    app.save(lamp, envelope=an_envelope())


def hung(app: Lamps, command: str = "hang") -> Lamp:
    lamp = Lamp._create(Lamp.Hung, id=uuid4(), place="door")
    app.save(lamp, envelope=an_envelope(command))
    return lamp


def test_every_follower_reads_events_with_their_envelope(app: Lamps, reader: LogReader) -> None:
    assert reader.read(0) == []
    assert reader.last_position() == 0
    lamp = hung(app)
    lamp.switch(on=True)
    app.save(lamp, envelope=an_envelope("switch"))
    first, second = reader.read(0)
    assert isinstance(first.event, Lamp.Hung)
    assert first.event.place == "door"
    assert (first.position, first.version, first.kind) == (1, 1, "lamp")
    assert second.aggregate_id == lamp.id
    assert second.envelope == an_envelope("switch")
    assert second.event.timestamp == an_envelope().occurred_at
    assert second.body == b'{"on":true}'
    assert second.previous_hash == first.hash
    assert second.topic == "imewe.lamp:Switched"
    assert reader.read(1) == [second]
    assert reader.read(0, limit=1) == [first]
    assert reader.last_position() == 2
    assert [r.version for r in reader.history_of(lamp.id)] == [1, 2]


def test_a_follower_wakes_when_an_event_is_readable(app: Lamps, reader: LogReader) -> None:
    assert reader.read(0) == []
    begin = time.monotonic()
    assert not reader.wait(0.05)
    with soon(lambda: hung(app)):
        assert reader.wait(30)
    assert len(reader.read(0)) == 1
    assert time.monotonic() - begin < 20


def test_an_event_between_read_and_wait_is_not_missed(app: Lamps, reader: LogReader) -> None:
    assert reader.read(0) == []
    hung(app)
    assert reader.wait(30)


def test_stopping_ends_a_wait(shop: OwnLog) -> None:
    client = Client(shop.address("projections"))
    reader = LogReader.through_import(client)
    with soon(reader.stop):
        assert reader.wait(30)
        assert reader.wait(30)
    client.close()


def test_a_follower_goes_on_after_the_server_was_killed(
    app: Lamps, shop: OwnLog, reader: LogReader
) -> None:
    hung(app)
    assert len(reader.read(0)) == 1
    shop.server.kill()
    shop.server.finish_stop(5)
    shop.server.start()
    while reader.wait(0.5):
        pass
    hung(app)
    assert reader.wait(30)
    assert len(reader.read(0)) == 2


def test_a_poison_event_is_named_and_never_skipped(app: Lamps, reader: LogReader) -> None:
    hung(app)
    lost = uuid4()
    app.recorder.insert_events([StoredEvent(lost, 1, "imewe.lamp:Forgotten", b"{}")])
    hung(app)
    assert [r.position for r in reader.read(0)] == [1]
    with pytest.raises(PoisonEventError) as told:
        reader.read(1)
    assert (told.value.position, told.value.kind) == (2, "lamp")
    assert told.value.aggregate_id == str(lost)
    assert [r.position for r in reader.read(2)] == [3]


def test_loading_without_snapshots_gives_the_same_as_with(app: Lamps, shop: OwnLog) -> None:
    lamp = hung(app, "command 1")
    for n in range(2, 104):
        lamp.switch(on=n % 2 == 0)
        app.save(lamp, envelope=an_envelope(f"command {n}"))
    with_snapshots: Lamp = app.repository.get(lamp.id)
    bare = Application[UUID](env={**shop.env, "MAPPER_TOPIC": MAPPER})
    without: Lamp = bare.repository.get(lamp.id)
    assert app.snapshots is not None
    assert len(list(app.snapshots.get(lamp.id))) == 2
    assert vars(with_snapshots) == vars(without)
    assert without.version == 103
    assert without.commands == {f"command {n}": n for n in range(40, 104)}
    bare.close()


def test_ten_snapshots_are_kept_and_found_by_version(shop: OwnLog) -> None:
    recorder = JetStreamFactory(shop.env)
    shop.factories.append(recorder)
    snapshots = recorder.aggregate_recorder(purpose="snapshots")
    job = uuid4()
    for version in [50, 100, 25, *range(150, 700, 50)]:
        snapshots.insert_events([StoredEvent(job, version, "imewe:Snapshot", b"{}")])
    versions = [s.originator_version for s in snapshots.select_events(job)]
    assert versions == list(range(200, 700, 50))
    assert [s.originator_version for s in snapshots.select_events(job, desc=True, limit=1)] == [650]
    older = snapshots.select_events(job, lte=449, desc=True, limit=1)
    assert [s.originator_version for s in older] == [400]


def test_a_subscription_filters_topics_and_ends_when_stopped(app: Lamps) -> None:
    lamp = hung(app)
    lamp.switch(on=True)
    app.save(lamp, envelope=an_envelope())
    with app.recorder.subscribe(gt=0, topics=[Lamp.Switched.TOPIC]) as subscription:
        assert orjson.loads(next(subscription).state) == {"on": True}
        begin = time.monotonic()
        with soon(lambda: switched(app, lamp)):
            assert orjson.loads(next(subscription).state) == {"on": False}
        with soon(subscription.stop), pytest.raises(StopIteration):
            next(subscription)
        assert time.monotonic() - begin < FALLBACK_S


def test_who_may_make_no_consumer_reads_a_long_log_all_the_same(app: Lamps, shop: OwnLog) -> None:
    lamps = [StoredEvent(uuid4(), 1, Lamp.Hung.TOPIC, b'{"place":"door"}') for _ in range(400)]
    app.recorder.insert_events(lamps)
    with (
        contextlib.closing(Client(shop.address("log_notary"))) as client,
        contextlib.closing(LogReader(client)) as reader,
    ):
        found = reader.read_raw(0, 1000)
        assert [record.sequence for record in found] == list(range(1, 401))
