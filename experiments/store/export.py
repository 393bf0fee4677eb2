"""The tables of a store as CSV, JSON lines or one Parquet file each, for any program; TensorBoard's: `event_files`.

Nothing is chosen here: every row that counts leaves, once, with all its columns.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from dit_grid.experiments.store.errors import StorageError, StoreError
from dit_grid.experiments.store.event_files import TENSORBOARD, write_event_files
from dit_grid.experiments.store.store import Store


def export(store: Store, folder: str | Path, kind: str) -> list[Path]:
    """Write the exactly-once views as runs, train, evals and events .csv, .jsonl or .parquet into `folder`.

    Return the files. `kind` is one of KINDS. Files of an earlier export are replaced. JSON has no NaN or infinity: they
    become the words "NaN", "Infinity" and "-Infinity". In CSV a missing value is an empty field. TensorBoard gets a
    folder a run.
    """
    if kind not in KINDS:
        raise StoreError(f"export as {kind!r}: choose one of {', '.join(KINDS)}")
    folder = Path(folder)
    if kind == TENSORBOARD:
        return write_event_files(store, folder)
    files = []
    views: dict[str, Callable[[], pa.Table]] = {
        "runs": store.runs,
        "train": store.train,
        "evals": store.evals,
        "events": store.events,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, view in views.items():
            files.append(folder / f"{name}.{kind}")
            _WRITERS[kind](view(), files[-1])
    except OSError as error:
        raise StorageError(f"cannot export to {folder}: {error.strerror or error}") from error
    return files


def _write_csv(table: pa.Table, path: Path) -> None:
    pyarrow.csv.write_csv(table, path)


def _write_parquet(table: pa.Table, path: Path) -> None:
    """Without statistics of floats: statistics leave NaN out, and DuckDB then finds none in the rows."""
    exact = [field.name for field in table.schema if not pa.types.is_floating(field.type)]
    pyarrow.parquet.write_table(table, path, write_statistics=exact)


def _write_json_lines(table: pa.Table, path: Path) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for batch in table.to_batches():
            for row in batch.to_pylist():
                file.write(json.dumps({name: _json(value) for name, value in row.items()}, ensure_ascii=False) + "\n")


def _json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


_WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {
    "csv": _write_csv,
    "jsonl": _write_json_lines,
    "parquet": _write_parquet,
}
KINDS = ("csv", "jsonl", TENSORBOARD, "parquet")
