"""What the page of one run shows beyond the numbers: its attempts, the end of its log, its samples along the steps.

What is here reads a store; how a run differs from its neighbours is reckoned in the page.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dit_grid.analysis.figures.style import few
from dit_grid.analysis.report.history import Ended
from dit_grid.analysis.report.pictures import strip
from dit_grid.analysis.results.sample_sheets import read_sheet, sheet_names

if TYPE_CHECKING:
    from dit_grid.experiments.store import Store

MOST_STEPS = 8
"""Steps of which samples are shown; of more, as many evenly chosen ones."""

MOST_BYTES = 8_000_000
"""Of all runs' logs and pictures in a page that is one file; what is beyond it is said to be left out."""

LOG_BYTES = 3000
"""Of each run's log in a page that is one file."""

LEFT_OUT = "Left out of this file for its size; `dit-grid serve` shows it."


def run_page(store: "Store", run_id: str, attempts: Iterable[Ended], log_bytes: int = 6000) -> dict[str, Any]:
    """`attempts` in words, `log` (the newest attempt's end), `samples` (step, markup), oldest step first."""
    from dit_grid.experiments.store.run_logs import log_tail

    told = list(attempts)
    newest = max((attempt.number for attempt in told), default=0)
    by_step = {name[-13:]: name for name in sheet_names(store.files, run_id)}  # of one step the latest attempt's
    sheets = [read_sheet(store.files, name) for _, name in few(sorted(by_step.items()), MOST_STEPS)]
    return {
        "attempts": [attempt.told() for attempt in told],
        "log": log_tail(store, run_id, newest, most=log_bytes) if newest else "",
        "samples": [[sheet.step, strip(sheet)] for sheet in sheets],
    }


def run_pages(where: str, attempts: Mapping[str, list[Ended]]) -> dict[str, dict[str, Any]]:
    """Run id -> its page, for one file that holds all; once MOST_BYTES are spent only attempts are told."""
    from dit_grid.experiments.store import Store

    store, left, found = Store.open(where), MOST_BYTES, {}
    for run_id, told in attempts.items():
        if left > 0:
            page = run_page(store, run_id, told, LOG_BYTES)
        else:
            page = {"attempts": [attempt.told() for attempt in told], "log": LEFT_OUT, "samples": []}
        left -= len(page["log"]) + sum(len(text) for _, text in page["samples"])
        found[run_id] = page
    return found
