"""A snapshot belongs to the code that folded it; any other folds the events again."""

from uuid import UUID, uuid4

import pytest
from eventsourcing.domain import event

from commands.application import Imewe
from domain.shared.aggregate import Created, ImeweAggregate
from ops.eventstore import snapshots
from ops.messaging.server import EmbeddedNats
from ops.settings import Settings
from tests.eventlog import MAPPER, OwnLog, an_envelope, own_log


class Kettle(ImeweAggregate):
    TOPIC = "imewe.kettle:Kettle"

    class Bought(Created):
        TOPIC = "imewe.kettle:Bought"
        colour: str

    class Boiled(ImeweAggregate.Event):
        TOPIC = "imewe.kettle:Boiled"
        litres: int

    @event(Bought)
    def __init__(self, colour: str) -> None:
        self.colour = colour
        self.litres = 0

    @event(Boiled)
    def boil(self, litres: int) -> None:
        self.litres += litres


class Kitchen(Imewe):
    snapshotting_intervals = {Kettle: 10}  # noqa: RUF012 - as the library declares it


def kitchen(log: OwnLog) -> Kitchen:
    return Kitchen({**log.env, "MAPPER_TOPIC": MAPPER, "IS_SNAPSHOTTING_ENABLED": "y"})


def boiled(app: Kitchen, kettle_id: UUID, times: int) -> None:
    kettle = app.repository.get(kettle_id)
    assert isinstance(kettle, Kettle)
    for _ in range(times):
        kettle.boil(litres=1)
        app.record(kettle, envelope=an_envelope())


def versions_of(app: Kitchen, kettle_id: UUID) -> list[int]:
    assert app.snapshots is not None
    return [each.originator_version for each in app.snapshots.get(kettle_id)]


def test_snapshots_of_other_code_are_ignored_and_rebuilt_from_events(
    nats_server: EmbeddedNats, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_log(nats_server, settings) as log:
        before = kitchen(log)
        kettle = Kettle._create(Kettle.Bought, id=uuid4(), colour="red")
        before.record(kettle, envelope=an_envelope())
        boiled(before, kettle.id, 24)
        assert versions_of(before, kettle.id) == [10, 20]

        monkeypatch.setattr(snapshots, "domain_code", lambda: "a later release")
        after = kitchen(log)
        assert versions_of(after, kettle.id) == []
        assert vars(after.load(kettle.id))["litres"] == 24
        boiled(after, kettle.id, 10)
        assert versions_of(after, kettle.id) == [30]
        assert vars(after.load(kettle.id))["litres"] == 34

        # the older release still runs beside it: each takes its own
        assert versions_of(before, kettle.id) == [10, 20]
        assert vars(before.load(kettle.id)) == vars(after.load(kettle.id))
        assert vars(before.load(kettle.id, 25))["litres"] == 24
        before.close()
        after.close()


def test_any_change_of_the_domain_gives_its_code_another_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("domain")
    (folder / "job.py").write_text("STATE = 1\n")
    monkeypatch.setattr(snapshots.domain, "__path__", [str(folder)])
    snapshots.domain_code.cache_clear()
    first = snapshots.domain_code()
    (folder / "job.py").write_text("STATE = 2\n")
    snapshots.domain_code.cache_clear()
    second = snapshots.domain_code()
    snapshots.domain_code.cache_clear()
    assert first != second
