"""The eventsourcing library's own cases, on JetStream."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from eventsourcing.persistence import AggregateRecorder
from eventsourcing.tests import application as application_cases

from ops.messaging.server import EmbeddedNats
from ops.settings import Settings
from tests.conformance.recorder_cases import (
    AggregateCases,
    ApplicationCases,
    FactoryCases,
    NonInterleavingCases,
)
from tests.eventlog import OwnLog, own_log


class OnJetStream:
    """Gives each case a log of its own, also through the environment."""

    log: OwnLog

    @pytest.fixture(autouse=True)
    def _own_log(
        self, nats_server: EmbeddedNats, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[None]:
        with own_log(nats_server, settings) as self.log:
            for name, value in self.log.env.items():
                monkeypatch.setenv(name, value)
            yield


class TestAggregateRecorder(OnJetStream, AggregateCases):
    __test__ = True

    def make(self) -> AggregateRecorder:
        return self.log.factory().aggregate_recorder()


class TestAggregateRecorderOfNamedAggregates(TestAggregateRecorder):
    def new_id(self) -> str:
        return f"an id.with *> {uuid4()}"


class TestApplicationRecorder(OnJetStream, ApplicationCases):
    __test__ = True

    def make(self) -> AggregateRecorder:
        return self.log.factory().application_recorder()


class TestNonInterleaving(OnJetStream, NonInterleavingCases):
    __test__ = True

    def make(self) -> AggregateRecorder:
        return self.log.factory().application_recorder()


class TestFactory(OnJetStream, FactoryCases):
    __test__ = True

    def given_env(self) -> dict[str, str]:
        return self.log.env


class TestExampleApplication(OnJetStream, application_cases.ExampleApplicationTestCase):
    expected_factory_topic = "ops.eventstore.jetstream:JetStreamFactory"


@pytest.mark.filterwarnings("default:'log' is deprecated:DeprecationWarning")
class TestApplication(OnJetStream, application_cases.ApplicationTestCase):
    pass
