"""Tables for people in which no value is ever cut: what stands in one can be copied."""

from rich.console import Console
from rich.measure import Measurement, measure_renderables
from rich.table import Column, Table
from rich.text import Text

UNBOUNDED = 1_000_000


def print_table(table: Table, console: Console | None = None) -> None:
    """On a terminal, lines break between words to fit it; where a word would have to break, a
    line for every value instead. Into a file or pipe every row is one line, however long."""
    console = console or Console()
    sizes = [_size(console, column) for column in table.columns]
    lines = console.options.update(max_width=UNBOUNDED)
    borders = table.__rich_measure__(console, lines).maximum - sum(size.maximum for size in sizes)
    spare = console.width - borders - sum(size.minimum for size in sizes)
    if console.is_terminal and spare < 0:
        _print_records(table, console)
        return
    wished = sum(size.maximum - size.minimum for size in sizes)
    share = min(1.0, spare / wished) if console.is_terminal and wished else 1.0
    for column, size in zip(table.columns, sizes, strict=True):
        column.width = size.minimum + int((size.maximum - size.minimum) * share)
    own = console.width
    console.width = max(own, borders + sum(column.width or 0 for column in table.columns))
    console.print(table)
    console.width = own


def _size(console: Console, column: Column) -> Measurement:
    """The longest word and the longest line of a column."""
    return measure_renderables(
        console,
        console.options.update(max_width=UNBOUNDED),
        [console.render_str(str(column.header)), *map(_text, column.cells)],
    )


def _text(cell: object) -> Text:
    return cell if isinstance(cell, Text) else Text.from_markup(str(cell))


def _print_records(table: Table, console: Console) -> None:
    names = [str(column.header) for column in table.columns]
    width = max(map(len, names))
    rows = zip(*(column.cells for column in table.columns), strict=True)
    for number, row in enumerate(rows):
        if number:
            console.print()
        for name, cell in zip(names, row, strict=True):
            console.print(Text(f"{name:<{width}}  ").append_text(_text(cell)), soft_wrap=True)
