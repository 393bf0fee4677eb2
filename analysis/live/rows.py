"""The rows of a store as a reader keeps them from update to update: by run, each number once, in order of step.

The rule which rows count is the store's; frames of all runs are put together here, and nothing is reckoned from them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pandas as pd

from dit_grid.analysis.results.frames import Results, assemble
from dit_grid.experiments.store import Store, Update
from dit_grid.experiments.store.records import EVALS, EVENTS, RUNS, TRAIN, Table


@dataclass
class Rows:
    """What was read so far: runs, states, and the train and eval rows of each run."""

    runs: pd.DataFrame = field(default_factory=lambda: RUNS.schema.empty_table().to_pandas())
    states: dict[str, str] = field(default_factory=dict)
    train: dict[str, pd.DataFrame] = field(default_factory=dict)
    evals: dict[str, pd.DataFrame] = field(default_factory=dict)

    def take(self, update: Update, store: Store) -> tuple[set[str], bool]:
        """Take up an update: the runs with other rows, and whether anything but training rows changed."""
        known = set(self.runs["run_id"])
        fresh = [run for run in store.run_ids() if run not in known]
        if fresh:
            self.runs = _joined([self.runs, store.runs(fresh).to_pandas()], RUNS)
        states = {run: state.outcome or "started" for run, state in update.states.items()}
        moved = {run for run, state in states.items() if self.states.get(run) != state}
        trained = _merge(self.train, update.train.to_pandas(), TRAIN, update)
        measured = _merge(self.evals, update.evals.to_pandas(), EVALS, update)
        self.states = states
        return {*fresh, *moved, *trained, *measured}, bool(fresh or moved or measured)

    def copy(self) -> "Rows":
        """The same rows, which later updates leave as they are."""
        return Rows(self.runs, dict(self.states), dict(self.train), dict(self.evals))

    def results(self, where: str, runs: Iterable[str] | None = None) -> Results:
        """The results of all runs, or of some, as `load` has them, without the scheduler's journal."""
        wanted = None if runs is None else set(runs)
        train, evals = (
            _joined([rows for run, rows in held.items() if wanted is None or run in wanted], table)
            for held, table in ((self.train, TRAIN), (self.evals, EVALS))
        )
        of = self.runs if wanted is None else self.runs[self.runs["run_id"].isin(wanted)].reset_index(drop=True)
        return assemble(of, train, evals, EVENTS.schema.empty_table().to_pandas(), self.states, where)


def _joined(parts: list[pd.DataFrame], table: Table) -> pd.DataFrame:
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else table.schema.empty_table().to_pandas()


def _merge(held: dict[str, pd.DataFrame], new: pd.DataFrame, table: Table, update: Update) -> set[str]:
    """Put new rows to those of their runs, and drop those that count no more; the runs that changed."""
    changed = set()
    parts = {str(run): rows for run, rows in new.groupby("run_id", sort=False)}
    for run in {*parts, *(run for run, steps in update.resume_steps.items() if steps and run in held)}:
        rows = _joined([part for part in (held.get(run), parts.get(run)) if part is not None], table)
        if update.resume_steps.get(run):
            live = [update.is_live(run, a, s) for a, s in zip(rows["attempt"], rows["step"], strict=True)]
            rows = rows[live]
        rows = rows.sort_values("attempt", kind="stable").drop_duplicates(list(table.key), keep="last")
        rows = rows.sort_values("step", kind="stable").reset_index(drop=True)
        if run in parts or len(rows) != len(held[run]):
            held[run] = rows
            changed.add(run)
    return changed
