"""The tables of a store as CSV or JSON lines, for programs that read no Parquet.

TensorBoard's format is not written: its event files need TensorFlow, or a second writer of their own to keep right.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from dit_grid.experiments.store.errors import StorageError, StoreError
from dit_grid.experiments.store.store import Store


def export(store: Store, folder: str | Path, kind: str) -> list[Path]:
    """Write the exactly-once views as runs, train, evals and events .csv or .jsonl into `folder`; return the files.

    `kind` is "csv" or "jsonl". Files of an earlier export are replaced. JSON has no NaN or infinity: they become the
    words "NaN", "Infinity" and "-Infinity". In CSV a missing value is an empty field.
    """
    if kind not in _WRITERS:
        raise StoreError(f"export as {kind!r}: choose one of {', '.join(_WRITERS)}")
    folder = Path(folder)
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


def _write_json_lines(table: pa.Table, path: Path) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for batch in table.to_batches():
            for row in batch.to_pylist():
                file.write(json.dumps({name: _json(value) for name, value in row.items()}, ensure_ascii=False) + "\n")


def _json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


_WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {"csv": _write_csv, "jsonl": _write_json_lines}
