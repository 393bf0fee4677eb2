"""Runs of a store whose training loss left their peers' curve, for a status and for the driver's journal.

What is here reads the store, and no more of it than an alarm needs; the rule is `analysis.curves`.
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dit_grid.experiments.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

    from dit_grid.analysis.curves import Looked

MOST_READ = 100
"""Runs whose losses are read: those that are not done, then others of theirs; a status is to be quick."""

COLUMNS = ("run_id", "spec", "seed", "steps", "params", "forward_macs", "dataset", "batch", "block", "image_size")


def alarms(store: Store, unfinished: Collection[str]) -> "Looked":
    """Return which runs left their peers' curve; of a store of more than MOST_READ runs those not done, and some."""
    from dit_grid.analysis.curves import Looked, departures

    names = list(store.run_ids())
    if len(names) > MOST_READ:
        wanted = [name for name in names if name in set(unfinished)]
        names = [*wanted, *(name for name in names if name not in set(wanted))][:MOST_READ]
    if len(names) < 2:
        return Looked()
    runs = store.runs(names, columns=COLUMNS).to_pylist()
    return departures(runs, losses_of(store.train(names, columns=["run_id", "step", "loss"])))


def losses_of(train: "pa.Table") -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
    """Return run id -> steps and losses, of a table sorted by run and step; an unknown loss is NaN."""
    if not len(train):
        return {}
    ids = train["run_id"].dictionary_encode().combine_chunks()  # as a list of strings a million rows take half a second
    places = ids.indices.to_numpy()
    steps = train["step"].to_numpy().astype(float)
    losses = train["loss"].to_numpy().astype(float)
    starts = [0, *(np.flatnonzero(np.diff(places)) + 1).tolist()]
    names = ids.dictionary.to_pylist()
    parts = zip(starts, [*starts[1:], len(places)], strict=True)
    return {names[places[low]]: (steps[low:high], losses[low:high]) for low, high in parts}


def detail_of(departure: Any) -> dict[str, Any]:
    """Return what the journal keeps of a departure."""
    return {name: getattr(departure, name) for name in ("step", "by", "sigmas", "limit", "peers")} | {
        "message": str(departure)
    }
