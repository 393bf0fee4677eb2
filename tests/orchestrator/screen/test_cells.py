"""Where there is room a table has the lines, and the width, that rich gives it."""

import pytest
from rich.console import Console

from dit_grid.orchestrator.screen.cells import cells_of, drawn, of_one_line, table_width
from dit_grid.orchestrator.screen.rows import rows_table

COLUMNS = {"model": "model", "[x] rate": "rate", "steps": "steps", "名": "name"}
TABLES = {
    "usual": [{"model": "XL/2", "rate": 1e-3, "steps": 12_000, "name": "a"}, {"model": "S/8", "rate": 2.5, "steps": 3,
              "name": "longer"}],
    "wide characters": [{"model": "模型", "rate": None, "steps": True, "name": "日本語 é"}],
    "markup and edges": [{"model": " [red]", "rate": float("nan"), "steps": None, "name": "a  "},
                         {"model": "", "rate": 123456.7, "steps": -4, "name": "[/b]"}],
    "no rows": [],
}  # fmt: skip


def printed(console, *what):
    with console.capture() as caught:
        console.print(*what, highlight=False)
    return caught.get()


@pytest.mark.parametrize("rows", TABLES.values(), ids=TABLES)
def test_the_lines_are_those_that_rich_draws(rows):
    console, cells = Console(width=200), cells_of(COLUMNS, rows)
    numeric = [key for key in COLUMNS.values() if any(isinstance(row[key], int | float) for row in rows)]
    lines = "".join(printed(console, line) for line in drawn(COLUMNS, cells, numeric))
    assert lines == printed(console, rows_table(COLUMNS, rows))
    assert table_width(COLUMNS, cells) == console.measure(rows_table(COLUMNS, rows)).maximum
    assert of_one_line(COLUMNS, cells)


def test_the_width_of_a_cell_of_several_lines_is_its_longest():
    rows = [{"model": "a\nlonger\nb", "rate": 1, "steps": 2, "name": "c"}]
    assert not of_one_line(COLUMNS, cells_of(COLUMNS, rows))
    assert table_width(COLUMNS, cells_of(COLUMNS, rows)) == Console().measure(rows_table(COLUMNS, rows)).maximum
