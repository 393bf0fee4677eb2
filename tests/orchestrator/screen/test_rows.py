"""Tables at the width of a terminal: nothing is cut, what all rows share is said once, what has no room is named."""

import pytest
from rich.console import Console

from dit_grid.orchestrator.screen.rows import fitted, shortened, span, view

ROWS = [
    {"model": f"{size}/{patch}", "rate": rate, "batch": 256, "loss": None, "fd": 1.5 * patch,
     "run": f"{size}-{patch}-0123"}
    for size in ("S", "XL") for patch, rate in ((2, 1e-3), (4, 4e-3))
]  # fmt: skip
COLUMNS = {"model": "model", "train.optimizer.learning_rate": "rate", "batch": "batch", "loss": "loss", "fd": "fd",
           "run": "run"}  # fmt: skip


def shown(width, spare=(), rows=ROWS):
    console = Console(width=width)
    with console.capture() as caught:
        console.print(view(COLUMNS, rows, console, spare=spare), highlight=False)
    return [line.rstrip() for line in caught.get().splitlines()]


def test_what_all_rows_share_is_said_once_and_what_none_has_is_not():
    above, header, *rows = shown(200)
    assert above == "all: batch 256"
    assert header.split() == ["model", "train.optimizer.learning_rate", "fd", "run"]
    assert rows[0].split() == ["S/2", "0.001", "3", "S-2-0123"]


def test_a_single_row_keeps_its_columns():
    assert shown(200, rows=ROWS[:1])[0].split() == [
        "model",
        "train.optimizer.learning_rate",
        "batch",
        "loss",
        "fd",
        "run",
    ]


@pytest.mark.parametrize("width", range(10, 81))
def test_at_any_width_no_cell_is_cut_and_every_column_is_shown_or_named(width):
    console = Console(width=width)
    laid = fitted(COLUMNS, ROWS, console, ["run"])
    lines = shown(width, ["run"])
    assert all(len(line) <= width for line in lines)
    assert "…" not in "".join(lines)
    said = {name.rpartition(".")[2] for name in [*laid.columns, *laid.left_out, *laid.same, "loss"]}
    assert said == {name.rpartition(".")[2] for name in COLUMNS}
    for row in ROWS:
        assert any(row["model"] in line for line in lines)


def test_headings_are_shortened_before_a_column_goes_and_spare_ones_go_first():
    assert shown(40)[1].split() == ["model", "learning_rate", "fd", "run"]
    assert shown(30, ["run"])[-1] == "not shown, for want of width:" or "run" in shown(30, ["run"])[-1]
    assert list(fitted(COLUMNS, ROWS, Console(width=30), ["run"]).columns) == ["model", "learning_rate", "fd"]


def test_a_cell_wider_than_the_terminal_goes_on_below_itself():
    lines = shown(12, rows=[{**ROWS[0], "model": "a-model-of-a-very-long-name"}])
    assert "a-model-of-a-very-long-name" in "".join(line.strip() for line in lines)


def test_brackets_in_a_cell_are_text():
    assert "[/b] [red]" in shown(200, rows=[{**ROWS[0], "run": "[/b] [red]"}])[1]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "less than 1 s"), (17, "17 s"), (720, "12 min"), (12_000, "3 h 20 min"), (187_200, "2 d 4 h")],
)
def test_durations_are_in_two_of_their_units(seconds, text):
    assert span(seconds) == text


def test_a_heading_of_several_words_keeps_them_where_it_is_narrow():
    """A dot that ends an abbreviation is none between names."""
    assert list(shortened({"model": "model", "est. ms": "estimated", "train.batch": "batch"})) == [
        "model",
        "est. ms",
        "batch",
    ]
