"""Runs of MLflow as its two local stores hold them, a folder `mlruns` or an SQLite file; reading needs no mlflow.

What a tracking server holds is asked of it, by `mlflow_server`.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from dit_grid.experiments.tracking.foreign_run import ForeignRun, NotATrackerError
from dit_grid.experiments.tracking.mlflow_client import OUTCOMES, as_logged

_STATES = {3: "FINISHED", 4: "FAILED", 5: "KILLED"}
"""The folder has MLflow's protocol numbers for them."""


def read_mlflow_folder(folder: Path) -> list[ForeignRun]:
    """The runs of every experiment in a folder, deleted ones left out. Raises NotATrackerError."""
    return [_folder_run(meta) for meta in run_files(folder)]


def run_files(folder: Path) -> list[Path]:
    """The `meta.yaml` of each run at or below: of `mlruns`, an experiment, or a run."""
    found = {path for pattern in ("", "*/", "*/*/") for path in folder.glob(f"{pattern}meta.yaml")}
    return sorted(path for path in found if (path.parent / "metrics").is_dir() and ".trash" not in path.parts)


def _folder_run(meta: Path) -> ForeignRun:
    try:
        said = yaml.safe_load(meta.read_text("utf-8"))
        key, state = str(said["run_id"]), said.get("status")
        name = _tag(meta.parent, "mlflow.runName") or str(said.get("run_name") or key)
        params = meta.parent / "params"
        config = {f.relative_to(params).as_posix(): f.read_text("utf-8") for f in params.rglob("*") if f.is_file()}
        run = ForeignRun(meta.parent, key, name, config, OUTCOMES.get(_STATES.get(state, ""), "interrupted"))
        metrics = meta.parent / "metrics"
        for file in sorted(path for path in metrics.rglob("*") if path.is_file()):
            for line in file.read_text("utf-8").splitlines():
                time_ms, value, step = line.split()[:3]
                run.add(int(step), file.relative_to(metrics).as_posix(), float(value), int(time_ms) / 1000)
    except OSError as error:
        raise NotATrackerError(f"{error.filename}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotATrackerError(f"{meta.parent}: not a run of MLflow that can be read ({error!r})") from error
    return run


def _tag(home: Path, name: str) -> str:
    file = home / "tags" / name
    return file.read_text("utf-8") if file.is_file() else ""


def is_mlflow_database(file: Path) -> bool:
    """Whether it is an SQLite file with MLflow's tables."""
    try:
        with open(file, "rb") as opened:
            if opened.read(16) != b"SQLite format 3\0":
                return False
        with closing(_opened(file)) as base:
            names = {name for (name,) in base.execute("select name from sqlite_master where type = 'table'")}
        return {"runs", "metrics", "params"} <= names
    except (OSError, sqlite3.Error):
        return False


def read_mlflow_database(file: Path) -> list[ForeignRun]:
    """The runs in the file, deleted ones left out. Raises NotATrackerError."""
    try:
        with closing(_opened(file)) as base:
            return list(_database_runs(file, base))
    except sqlite3.Error as error:
        raise NotATrackerError(f"{file}: not a database of MLflow that can be read ({error})") from error


def _database_runs(file: Path, base: sqlite3.Connection) -> Iterator[ForeignRun]:
    kept = "select run_uuid, name, status from runs where lifecycle_stage = 'active' order by start_time, run_uuid"
    for key, name, status in base.execute(kept).fetchall():
        config: dict[str, Any] = dict(base.execute("select key, value from params where run_uuid = ?", (key,)))
        run = ForeignRun(file, key, name or key, config, OUTCOMES.get(status, "interrupted"))
        rows = "select key, value, is_nan, step, timestamp from metrics where run_uuid = ? order by timestamp"
        for metric, value, is_nan, step, time_ms in base.execute(rows, (key,)):
            run.add(step, metric, float("nan") if is_nan else as_logged(value), time_ms / 1000)
        yield run


def _opened(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=10)
