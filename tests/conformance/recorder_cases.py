"""The library's recorder and factory cases, made to look at what is left behind."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    ProcessRecorder,
    TrackingRecorder,
)
from eventsourcing.tests import persistence as cases
from eventsourcing.utils import Environment

from ops.eventstore.jetstream import JetStreamFactory
from ops.eventstore.recorder import JetStreamAggregateRecorder, JetStreamApplicationRecorder


class KeepsWhatItTook:
    """After each case every aggregate it named has events; some cases only write."""

    recorder: AggregateRecorder
    named: list[UUID | str]

    def make(self) -> AggregateRecorder:
        raise NotImplementedError

    def create_recorder(self) -> Any:
        self.named = []
        self.recorder = self.make()
        return self.recorder

    def new_originator_id(self) -> UUID | str:
        self.named.append(self.new_id())
        return self.named[-1]

    def new_id(self) -> UUID | str:
        return uuid4()

    def tearDown(self) -> None:
        for originator_id in self.named[-5:]:
            assert self.recorder.select_events(originator_id), "what was taken was not kept"


class AggregateCases(KeepsWhatItTook, cases.AggregateRecorderTestCase):
    __test__ = False


class ApplicationCases(KeepsWhatItTook, cases.ApplicationRecorderTestCase[ApplicationRecorder]):
    __test__ = False

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class NonInterleavingCases(KeepsWhatItTook, cases.NonInterleavingNotificationIDsBaseCase):
    __test__ = False
    insert_num = 1000


class FactoryCases(cases.InfrastructureFactoryTestCase[JetStreamFactory]):
    __test__ = False

    def given_env(self) -> dict[str, str]:
        raise NotImplementedError

    def setUp(self) -> None:
        self.env = Environment(env=self.given_env())
        super().setUp()

    def expected_factory_class(self) -> type[JetStreamFactory]:
        return JetStreamFactory

    def expected_aggregate_recorder_class(self) -> type[AggregateRecorder]:
        return JetStreamAggregateRecorder

    def expected_application_recorder_class(self) -> type[ApplicationRecorder]:
        return JetStreamApplicationRecorder

    def expected_tracking_recorder_class(self) -> type[TrackingRecorder]:
        return TrackingRecorder

    def tracking_recorder_subclass(self) -> type[TrackingRecorder]:
        return TrackingRecorder

    def expected_process_recorder_class(self) -> type[ProcessRecorder]:
        return ProcessRecorder

    def test_create_tracking_recorder(self) -> None:
        """Positions live with the read models: the log refuses, as other event stores do."""
        with pytest.raises(NotImplementedError):
            self.factory.tracking_recorder()

    def test_create_process_recorder(self) -> None:
        with pytest.raises(NotImplementedError):
            self.factory.process_recorder()
