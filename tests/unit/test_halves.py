"""When continuous integration runs failed tests once more."""

import pytest

from tests.halves import worth_another_run, wrong

ONE = "tests/unit/test_job.py::test_a[b]"


@pytest.mark.parametrize(
    ("codes", "failed", "worth"),
    [
        ((1, 0), [ONE], True),
        ((1, 1), [ONE] * 5, True),
        ((1, 0), [ONE] * 6, False),
        ((0, 0), [], False),
        ((1, 0), [], False),
        ((2, 0), [ONE], False),
        ((1, 3), [ONE], False),
        ((1, -9), [ONE], False),
        ((1, 0), ["tests/unit/test_job.py"], False),
    ],
    ids=[
        *("one", "a few in both halves", "too many", "none", "the reason is not known"),
        *("interrupted", "an error of pytest itself", "killed", "a file that cannot be read"),
    ],
)
def test_a_few_failed_tests_are_run_again_when_all_were_run(
    codes: tuple[int, ...], failed: list[str], worth: bool
) -> None:
    assert worth_another_run(codes, failed) is worth


@pytest.mark.parametrize(
    ("codes", "code"), [((0, 0), 0), ((0, 1), 1), ((-9, 0), -9), ((2, 1), 2), ((), 0)]
)
def test_the_run_fails_when_either_half_does(codes: tuple[int, ...], code: int) -> None:
    assert wrong(codes) == code
