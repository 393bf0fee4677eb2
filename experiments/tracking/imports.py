"""Runs that a tracker holds, as runs of a store: which of their settings and numbers are obviously which columns.

Obvious is a name that the field uses for one thing; everything else that is a number is a measurement under its own
name, and what nobody said stays unknown. A mapping, as for logs, goes before: its columns are the names in the tracker,
`config.NAME` for a setting, and `run_id`, `name`, `step`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dit_grid.experiments.store.importing import ImportedLog, parsed_log
from dit_grid.experiments.store.log_files import LogFile, Row
from dit_grid.experiments.store.paths import checked_id
from dit_grid.experiments.store.points import CURVES, EVALS_PREFIX, TRAIN_PREFIX
from dit_grid.experiments.store.records import RUNS
from dit_grid.experiments.tracking.foreign_run import ForeignRun, NotATrackerError, flat
from dit_grid.experiments.tracking.mlflow_folders import (
    is_mlflow_database,
    read_mlflow_database,
    read_mlflow_folder,
    run_files,
)
from dit_grid.experiments.tracking.mlflow_server import is_server, read_mlflow_server
from dit_grid.experiments.tracking.tensorboard_events import EVENT_FILES, read_tensorboard
from dit_grid.experiments.tracking.wandb_files import read_wandb, wandb_logs

RUN_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "batch": ("batch_size", "global_batch_size", "train_batch_size"),
    "steps": ("max_steps", "total_steps", "num_steps", "train_steps"),
    "params": ("n_params", "num_params", "num_parameters"),
    "seed": ("random_seed",),
    "image_size": (), "channels": (), "classes": ("num_classes",), "width": ("hidden_size",), "depth": (), "heads": (),
    "patch": ("patch_size",), "tokens": (), "forward_macs": (), "model": ("model_name",), "size": (), "block": (),
    "dataset": (), "experiment": (),
}  # fmt: skip
"""Column -> other names of settings that mean it and nothing else; its own name always does."""

SECTIONS = ("", "train.", "model.", "data.")
"""Where such a setting may stand in a nested config."""

TRAIN_COLUMNS: Mapping[str, str] = {
    "loss": "loss", "train_loss": "loss", "train/loss": "loss", "training_loss": "loss", "lr": "learning_rate",
    "learning_rate": "learning_rate", "train/lr": "learning_rate", "train/learning_rate": "learning_rate",
    "grad_norm": "grad_norm", "train/grad_norm": "grad_norm",
}  # fmt: skip
"""Names of numbers that are columns of training rows, beside the mirror's own `train/<column>`."""

NOT_MEASURED = re.compile(r"system/.*|epoch|train/epoch|trainer/.*|step|global_step|train/global_step|runtime")
"""Numbers that are no measurement: the machine's, and counters."""


def is_tracked(where: Path | str) -> bool:
    """Whether a tracker may have written what is there: a folder, a database of MLflow, or its server's address."""
    return is_server(str(where)) or Path(where).is_dir() or is_mlflow_database(Path(where))


def read_tracked(where: Path | str, mapping: Mapping[str, Any] | None = None) -> ImportedLog:
    """All runs at a path or server, checked; nothing is written. Raises NotATrackerError or StoreError, in one line."""
    runs = [run for run in _read(where) if run.rows]
    if not runs:
        raise NotATrackerError(f"{where}: its runs hold no number")
    named = _named(runs)
    log = LogFile(where, tuple(_columns(named)), tuple(_rows(named)))
    outcomes = {run_id: run.outcome for run_id, run in named.items()}
    parsed = parsed_log(_Tracked(log.path, log.columns, log.rows), _laid(_obvious(log.columns, named), mapping))
    return replace(parsed, outcomes=outcomes, notes=(*_left_out(log.columns), *parsed.notes))


class _Tracked(LogFile):
    """Rows of a tracker, where a name appears once it is logged."""

    @property
    def is_sparse(self) -> bool:
        return True


def _read(where: Path | str) -> list[ForeignRun]:
    if is_server(str(where)):
        return read_mlflow_server(str(where))
    path = Path(where)
    if path.is_file():
        return read_mlflow_database(path)
    if wandb_logs(path):
        return read_wandb(path)
    if run_files(path):
        return read_mlflow_folder(path)
    if next(path.rglob(EVENT_FILES), None) is not None:
        return read_tensorboard(path)
    raise NotATrackerError(
        f"{path}: holds no run of W&B (run-ID.wandb), MLflow (meta.yaml) or TensorBoard ({EVENT_FILES}); "
        "give the folder that holds them, MLflow's database, or a .csv or .jsonl log"
    )


def _named(runs: list[ForeignRun]) -> dict[str, ForeignRun]:
    """Run id -> run: the id that the mirror gave, else the run's name if no other has it, else name and key."""
    own = [str(run.config.get("run_id") or _clean(run.name)) for run in runs]
    often = Counter(own)
    found: dict[str, ForeignRun] = {}
    for name, run in zip(own, runs, strict=True):
        run_id = name if often[name] == 1 else f"{name[:80]}-{_clean(run.key)[-40:]}"
        if run_id in found:
            raise NotATrackerError(f"{run.source}: two runs are called {run_id!r}; import them one by one")
        found[checked_id("run id", run_id)] = run
    return found


def _clean(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:100] or "run"


def _settings(run: ForeignRun) -> Row:
    plain = str | int | float
    settings = {f"config.{key}": value for key, value in flat(run.config)}
    return {k: v for k, v in settings.items() if isinstance(v, plain) and not isinstance(v, bool) and v != ""}


def _rows(named: Mapping[str, ForeignRun]) -> Iterable[tuple[int, Row]]:
    for run_id, run in named.items():
        settings = {"run_id": run_id, "name": run.name, **_settings(run)}
        for place, step in enumerate(sorted(run.rows), start=1):
            time = {"wall_unix_s": run.times[step]} if step in run.times else {}
            yield place, {**settings, **run.rows[step], "step": step, **time}


def _columns(named: Mapping[str, ForeignRun]) -> Iterable[str]:
    names = dict.fromkeys(["run_id", "name", "step", "wall_unix_s"])
    for run in named.values():
        names |= dict.fromkeys(_settings(run)) | dict.fromkeys(name for row in run.rows.values() for name in row)
    return names


def _obvious(columns: Iterable[str], named: Mapping[str, ForeignRun]) -> dict[str, Any]:
    """The mapping that the names give by themselves."""
    time = {"wall_unix_s": {"column": "wall_unix_s"}}
    train: dict[str, Any] = {}
    evals = []
    for name in columns:
        column = TRAIN_COLUMNS.get(name) or _own_column(name)
        if column and column not in train:
            train[column] = {"column": name}
        elif _is_measured(name):
            metric, how = _metric(name)
            one = {"metric": metric, "step": {"column": "step"}, "value": {"column": name}, **time}
            evals.append(one | ({"protocol": how} if how else {}))
    run = {"run_id": {"column": "run_id"}} | _run_columns([_settings(one) for one in named.values()])
    mapping = {"run": run, "evals": evals}
    return mapping | ({"train": {"step": {"column": "step"}, **time, **train}} if train else {})


def _own_column(name: str) -> str:
    column = name.removeprefix(TRAIN_PREFIX)
    return column if name.startswith(TRAIN_PREFIX) and column in CURVES else ""


def _metric(name: str) -> tuple[str, str]:
    """Metric and protocol of a name as the mirror writes it; of any other the name."""
    parts = name.removeprefix(EVALS_PREFIX).rpartition("/")
    return (parts[0], parts[2]) if name.startswith(EVALS_PREFIX) and parts[0] else (name, "")


def _is_measured(name: str) -> bool:
    told = name in ("run_id", "name", "step", "wall_unix_s") or name.startswith("config.")
    return not told and not NOT_MEASURED.fullmatch(name)


def _run_columns(settings: list[Row]) -> dict[str, Any]:
    """Column of runs -> the setting that says it, where every run that has the setting has a value that fits."""
    found = {}
    for column, others in RUN_COLUMNS.items():
        names = [f"config.{section}{name}" for name in (column, *others) for section in SECTIONS]
        name = next((name for name in names if any(name in one for one in settings)), None)
        if name and all(_fits(column, one[name]) for one in settings if name in one):
            found[column] = {"column": name}
    return found


def _fits(column: str, value: Any) -> bool:
    if str(RUNS.schema.field(column).type) == "string":
        return isinstance(value, str)
    try:
        return float(value).is_integer() and abs(float(value)) < 2**63
    except (ValueError, OverflowError):
        return False


def _left_out(columns: Iterable[str]) -> list[str]:
    left = [name for name in columns if NOT_MEASURED.fullmatch(name) and name != "step"]
    return [f"left out, being counters or the machine's: {', '.join(left[:8])}"] if left else []


def _laid(obvious: dict[str, Any], mapping: Mapping[str, Any] | None) -> Any:
    """What a person's mapping says, over the obvious; its evals stand in place of those of the same numbers."""
    if not isinstance(mapping, Mapping):
        return obvious if mapping is None else mapping
    laid = dict(mapping)
    for name in ("run", "train"):
        if isinstance(mapping.get(name, {}), Mapping) and (name in mapping or name in obvious):
            laid[name] = {**obvious.get(name, {}), **(mapping.get(name) or {})}
    if isinstance(mapping.get("evals", []), list):
        own = list(mapping.get("evals") or [])
        taken = [one.get("value") for one in own if isinstance(one, Mapping)]
        laid["evals"] = [*own, *(one for one in obvious["evals"] if one["value"] not in taken)]
    return laid
