"""The results store: immutable Parquet files in a folder or bucket, no number ever lost or doubled.

Start at `Store`; `liveness` states which rows count after crashes. Importing this loads neither jax, ray nor pandas.

    Store.open(where).evals().to_pandas()                           each number once, as the rule says

The same files without this package, every attempt's rows and so also dead ones, doubled ones before `gc`:

    pandas.read_parquet("STORE/evals")
    pyarrow.dataset.dataset("STORE/evals").to_table()
    duckdb.sql("from 'STORE/evals/*/*.parquet'")
    polars.read_parquet("STORE/evals/*/*.parquet")
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
