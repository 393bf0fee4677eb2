"""Runs of a store whose training loss left their peers' curve, for a status and for the driver's journal.

What is here reads the store, and no more of it than an alarm needs; the rule is `analysis.curves`.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dit_grid.experiments.store import Store
from dit_grid.experiments.store.columns import numbers

if TYPE_CHECKING:
    from dit_grid.analysis.curves import Looked
    from dit_grid.analysis.curves.peers import Losses

MOST_READ = 100
"""Runs whose losses are read: those that are not done, then others of theirs; a status is to be quick."""

COLUMNS = ("run_id", "spec", "seed", "steps", "params", "forward_macs", "dataset", "batch", "block", "image_size")


def alarms(store: Store, unfinished: Collection[str]) -> "Looked":
    """Return which runs left their peers' curve; of a store of more than MOST_READ runs those not done, and some."""
    from dit_grid.analysis.curves import Looked, departures

    first = set(unfinished)
    names = list(store.run_ids())
    if len(names) > MOST_READ:
        names = sorted(names, key=lambda name: name not in first)[:MOST_READ]
    if len(names) < 2:
        return Looked()
    runs = store.runs(names, columns=COLUMNS).to_pylist()
    found = departures(runs, losses_of(store, names))
    return replace(found, unread=len(first.difference(names)))


def losses_of(store: Store, run_ids: Collection[str] | None = None) -> "Losses":
    """Return run id -> steps and losses, sorted by step, of runs that logged any; an unknown loss is NaN."""
    return {
        run_id: (numbers(rows["step"]).astype(float), numbers(rows["loss"]))
        for run_id, rows in store.train_by_run(run_ids, columns=["step", "loss"]).items()
    }


def detail_of(departure: Any) -> dict[str, Any]:
    """Return what the journal keeps of a departure."""
    return {name: getattr(departure, name) for name in ("step", "by", "sigmas", "limit", "peers")} | {
        "message": str(departure)
    }
