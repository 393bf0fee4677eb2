"""The results store: immutable Parquet files in a folder or bucket, no number ever lost or doubled.

Start at `Store`; `views` makes rows exactly-once, by the rule in `liveness`. Importing this needs no jax, ray, pandas.

Each number once and with every column, whatever crashed, was compacted or written by an older version:

    evals = Store.open("STORE").evals()                 a pyarrow.Table; runs, train and events likewise
    evals.to_pandas()
    polars.from_arrow(evals)
    duckdb.sql("from evals")

Without this package: any reader, on what `dit-grid store export STORE -o FOLDER --format parquet` writes.
The store's own files hold dead rows too, and doubled ones before `gc`; docs/store.md has a query right on them.
"""

from dit_grid.experiments.store.attempts import OUTCOMES, Attempt, AttemptRecord, RunState
from dit_grid.experiments.store.errors import (
    DamagedFileError,
    NewerVersionError,
    NotAStoreError,
    RunConflictError,
    StorageError,
    StoreError,
    SupersededError,
)
from dit_grid.experiments.store.liveness import is_live, newest_live
from dit_grid.experiments.store.paths import StorePaths
from dit_grid.experiments.store.store import Store
from dit_grid.experiments.store.watch import Update, Watch
from dit_grid.experiments.store.writer import EventWriter, RowWriter

__all__ = [
    "OUTCOMES",
    "Attempt",
    "AttemptRecord",
    "DamagedFileError",
    "EventWriter",
    "NewerVersionError",
    "NotAStoreError",
    "RowWriter",
    "RunConflictError",
    "RunState",
    "StorageError",
    "Store",
    "StoreError",
    "StorePaths",
    "SupersededError",
    "Update",
    "Watch",
    "is_live",
    "newest_live",
]
