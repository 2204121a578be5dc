"""Tables on terminals of any width, and into files: no value is ever cut."""

import io

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.cli.tables import print_table

ID = "6f1f3c2e-7d0b-5f6c-9a52-0b8f5d1c2a77"
HASH = "ab" * 32
WORDS = "a long reason with [brackets] that may go on over several lines of a table"


def shown(*row: str, width: int, terminal: bool) -> str:
    file = io.StringIO()
    table = Table("id", "hash", "reason")
    table.add_row(*map(Text, row))
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None)
    print_table(table, console)
    return file.getvalue()


@pytest.mark.parametrize("width", [20, 80, 115, 130, 300])
def test_ids_and_hashes_are_whole_on_a_terminal_of_any_width(width: int) -> None:
    lines = shown(ID, HASH, WORDS, width=width, terminal=True)
    assert ID in lines
    assert HASH in lines
    assert all(word in lines for word in WORDS.split())
    assert "…" not in lines


def test_a_terminal_too_narrow_for_a_word_gets_a_line_for_every_value() -> None:
    lines = shown(ID, HASH, "short", width=80, terminal=True).splitlines()
    assert lines == [f"id      {ID}", f"hash    {HASH}", "reason  short"]


def test_a_table_that_fits_its_terminal_stays_one() -> None:
    lines = shown(ID, "ab", WORDS, width=80, terminal=True).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if ID in line]


def test_into_a_file_every_row_is_one_line() -> None:
    (line,) = [
        each
        for each in shown(ID, HASH, "w " * 99, width=80, terminal=False).splitlines()
        if ID in each
    ]
    assert HASH in line
    assert ("w " * 99).strip() in line
