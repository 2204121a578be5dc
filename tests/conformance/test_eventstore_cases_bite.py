"""The cases prove something: a store that does nothing fails every one that touches a store."""

import contextlib
import io
import unittest
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    Notification,
    ProcessRecorder,
    StoredEvent,
    Subscription,
    TrackingRecorder,
)
from eventsourcing.tests import application as application_cases

from tests.conformance.recorder_cases import (
    AggregateCases,
    ApplicationCases,
    FactoryCases,
    NonInterleavingCases,
)

STORELESS = {
    "test_name",
    "test_as_context_manager",
    "test_resolve_persistence_topics",
    "test_take_snapshot_raises_assertion_error_if_snapshotting_not_enabled",
    "test_application_log",
}
"""Cases of the application class alone: they neither write nor read."""


class IdleRecorder(ApplicationRecorder):
    """Takes everything and keeps nothing."""

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        return []

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        return []

    def max_notification_id(self) -> int | None:
        return None

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        raise NotImplementedError


class IdleFactory(InfrastructureFactory[TrackingRecorder]):
    """A factory of stores that do nothing."""

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        return IdleRecorder()

    def application_recorder(self) -> ApplicationRecorder:
        return IdleRecorder()

    def tracking_recorder(
        self, tracking_recorder_class: type[TrackingRecorder] | None = None
    ) -> TrackingRecorder:
        raise NotImplementedError

    def process_recorder(self) -> ProcessRecorder:
        raise NotImplementedError


class IdleAggregateCases(AggregateCases):
    def make(self) -> AggregateRecorder:
        return IdleRecorder()


class IdleApplicationCases(ApplicationCases):
    def make(self) -> AggregateRecorder:
        return IdleRecorder()


class IdleNonInterleavingCases(NonInterleavingCases):
    def make(self) -> AggregateRecorder:
        return IdleRecorder()


class IdleFactoryCases(FactoryCases):
    def given_env(self) -> dict[str, str]:
        return {"PERSISTENCE_MODULE": __name__}


class IdleExampleCases(application_cases.ExampleApplicationTestCase):
    __test__ = False
    expected_factory_topic = f"{__name__}:IdleFactory"


class IdleLibraryApplicationCases(application_cases.ApplicationTestCase):
    __test__ = False


SUITES = (
    IdleAggregateCases,
    IdleApplicationCases,
    IdleNonInterleavingCases,
    IdleFactoryCases,
    IdleExampleCases,
    IdleLibraryApplicationCases,
)
NAMES = [
    (suite, name)
    for suite in SUITES
    for name in unittest.TestLoader().getTestCaseNames(suite)
    if name not in STORELESS
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("suite", "name"), NAMES, ids=[f"{s.__name__}-{n}" for s, n in NAMES])
def test_a_store_that_does_nothing_fails(
    suite: type[unittest.TestCase], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSISTENCE_MODULE", __name__)
    result = unittest.TestResult()
    with contextlib.redirect_stdout(io.StringIO()):
        suite(name).run(result)
    assert not result.wasSuccessful()


def test_every_shipped_case_is_among_them() -> None:
    assert len(NAMES) >= 25
