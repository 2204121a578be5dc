"""One running system for all tests of this folder that need no faults."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from domain.shared.errors import ImeweError
from tests.whole import Whole, whole_system
from tests.whole_invariants import Refusal, stored_messages, whole_log
from tests.whole_orders import small_program


@pytest.fixture(scope="package")
def whole() -> Iterator[Whole]:
    with whole_system() as whole:
        yield whole


@pytest.fixture(scope="package")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_program(tmp_path_factory.mktemp("program"), layers=25)


@pytest.fixture(scope="package")
def digest(whole: Whole, program: Path) -> str:
    """The program's, stored in the admin's organisation."""
    told = str(whole.portal.upload(program)["digest"])
    assert told == hashlib.sha256(program.read_bytes()).hexdigest()
    return told


@pytest.fixture
def refused(whole: Whole) -> Refusal:
    """Nothing left behind: neither an event nor a message in the file store. Machines may go on
    reporting what they do."""

    def footprint() -> tuple[list[Any], int]:
        events = [record.sequence for record in whole_log(whole) if record.kind != "node"]
        return events, stored_messages(whole)

    @contextmanager
    def refusal(code: str, field: str | None = None) -> Iterator[None]:
        before = footprint()
        with pytest.raises(ImeweError) as told:
            yield
        assert told.value.code == code, told.value
        assert field is None or told.value.field == field, told.value.field
        assert told.value.message
        assert footprint() == before

    return refusal
