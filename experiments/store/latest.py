"""The newest row of every run, from the ends of their files only; whole histories are `views`.

For live status: a thousand runs of ten thousand rows each are answered from two small reads a run.
"""

from collections.abc import Collection, Mapping

import pyarrow as pa

from dit_grid.experiments.store.attempts import Fences
from dit_grid.experiments.store.columns import in_one
from dit_grid.experiments.store.files import Files
from dit_grid.experiments.store.reading import Listing, Rows, fetch, listings
from dit_grid.experiments.store.records import Table
from dit_grid.experiments.store.views import exactly_once


def latest_rows(files: Files, fences: Fences, table: Table, run_ids: Collection[str] | None) -> pa.Table:
    """The live row with the highest step of each run, by run id; `table` is TRAIN or a part of it.

    Raises FileNotFoundError; see `reading.undisturbed`.
    """
    found = listings(files, table, run_ids)
    limits = fences.resume_steps(fences.ends(run_ids))
    # Steps only grow within an attempt, and a later attempt's rows lie past the earlier ones' live rows.
    ends = {run: Listing(listing.segments[-1:], listing.compacted) for run, listing in found.items()}
    last = {run: _last(table, rows, limits.get(run, {})) for run, rows in fetch(files, table, ends, tail=True).items()}
    unsure = {run: found[run] for run, row in last.items() if row is None}
    for run, rows in fetch(files, table, unsure).items():
        last[run] = exactly_once(table, rows.parts, limits.get(run, {}))[-1:]
    return in_one(table.schema, (row for _, row in sorted(last.items()) if row is not None))


def _last(table: Table, rows: Rows, resume_steps: Mapping[int, int]) -> pa.Table | None:
    """The last live row of the ends of a run's files; None if they may hide it: past a rewind, or without any row."""
    stored = exactly_once(table, rows.parts, {})
    live = exactly_once(table, rows.parts, resume_steps) if resume_steps else stored
    return live[-1:] if 0 < len(live) == len(stored) else None
