"""What an event says in words where nothing better was written for its kind."""

import pytest

from domain.organisation.aggregate import Organisation
from ops.schema_files import all_events
from projections.history.words import sentence_of


def test_an_event_without_words_of_its_own_says_what_stands_in_the_source() -> None:
    event = object.__new__(Organisation.AdminAdmitted)
    assert sentence_of(event) == "One more person is an admin of it"


@pytest.mark.parametrize("kind", list(all_events()), ids=lambda kind: kind.__qualname__)
def test_no_sentence_is_a_signature(kind: type) -> None:
    try:
        sentence = sentence_of(object.__new__(kind))
    except AttributeError:
        return  # it has words of its own, which tell of its values
    assert sentence
    assert "(self" not in sentence
