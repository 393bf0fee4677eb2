"""The comparisons as a Markdown table, and a page's part that is this table."""

from collections.abc import Sequence
from pathlib import Path

from dit_grid.orchestrator.bench.pairs import Comparison
from dit_grid.orchestrator.control.errors import RequestError

BEGIN, END = "<!-- dit-grid bench -->", "<!-- end of dit-grid bench -->"


def markdown(found: Sequence[Comparison], machine: dict[str, str], threads: int) -> str:
    """The table, with what it was measured on above it."""
    on = ", ".join(f"{name} {value}" for name, value in machine.items() if name not in ("processor", "cores"))
    head = f"{machine['processor']}, {threads} of {machine['cores']} cores; {on}."
    lines = [
        "| work | case | dit-grid, s | peer | peer, s | dit-grid is | middle half | rounds, clock |",
        "|" + "---|" * 8,
    ]
    return "\n".join([head, "", *lines, *map(_line, found)])


def _line(one: Comparison) -> str:
    ours = "" if one.ours_s is None else f"{one.ours_s:.3g}"
    cells = [
        one.peer or ("" if one.failed else "none installed"),
        f"failed, {one.failed}" if one.failed else "",
        "",
        "",
    ]
    if one.ratio is not None:
        cells[1:] = [f"{one.peer_s:.3g}", f"{one.ratio:.2f} ×", f"{one.low:.2f}–{one.high:.2f}"]
    return (
        f"| {' | '.join([one.work, one.case.replace('@', ', batch '), ours, *cells, f'{one.rounds}, {one.clock}'])} |"
    )


def check_page(page: Path) -> None:
    """Raise RequestError for a page that has no place for the table."""
    _parts(page)


def rewritten(page: Path, table: str) -> None:
    """Put the table between the page's two marks; RequestError where it has none."""
    before, after = _parts(page)
    page.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")


def _parts(page: Path) -> tuple[str, str]:
    """What stands before and after the table."""
    try:
        before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    except OSError as error:
        raise RequestError(f"--write {page}: {error.strerror}; name a page that has {BEGIN} and {END}") from error
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise RequestError(f"--write {page}: no place for the table; put {BEGIN} and {END} where it goes")
    return before, after
