"""A wire that loses, damages and leaves unanswered one line in a hundred."""

from pathlib import Path

import pytest

from ops.bench.serial import bad_wire


@pytest.mark.timeout(900)
def test_every_line_is_taken_once_and_in_order_on_a_bad_wire(
    tmp_path: Path, long_tests: bool
) -> None:
    lines = 8000 if long_tests else 1000
    found = bad_wire(tmp_path, lines)
    figures = {figure.label: figure.median for figure in found.figures}
    assert figures["lines taken"] == lines
    assert figures["of these double or out of order"] == 0
    assert figures["incidents survived"] >= lines * 0.005
    assert found.met
