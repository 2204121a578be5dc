"""Checks of values that decisions share."""

import pytest

from domain.shared.checks import REMARK_LIMIT, legible, remark, word
from domain.shared.errors import InvalidInputError


@pytest.mark.parametrize("value", ["local", "hall-2", "B_7", "x" * 64])
def test_a_word_can_stand_in_a_subject(value: str) -> None:
    assert word("bridge", value) == value


@pytest.mark.parametrize(
    "value", ["", "*", ">", "a.b", "a b", "é", "-a", "a\n", "../a", "x" * 65, "a\0"]
)
def test_what_would_mean_something_else_in_a_subject_is_no_word(value: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        word("bridge", value)
    assert refused.value.field == "bridge"


def test_a_remark_may_be_missing_and_may_have_lines() -> None:
    assert remark("reason", "  ") == ""
    assert remark("reason", " jam\nagain ") == "jam\nagain"


@pytest.mark.parametrize("value", ["\0", "a\x1b[31m", "a\r\nb", "\u202eabc", "x" * 1001])
def test_a_remark_holds_nothing_that_a_screen_would_obey(value: str) -> None:
    with pytest.raises(InvalidInputError):
        remark("reason", value)


def test_what_a_machine_said_is_kept_as_far_as_it_can_be_read() -> None:
    assert legible("Error:\x07 \0jam") == "Error:\ufffd \ufffdjam"
    assert len(legible("x" * 5000)) == REMARK_LIMIT
