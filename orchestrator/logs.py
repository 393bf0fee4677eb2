"""A run's log for a person: the traceback first if it failed, then what it printed, or what it prints from now on."""

import time
from pathlib import Path

import click

from dit_grid.experiments.store import AttemptRecord, Store, StorePaths
from dit_grid.orchestrator.errors import RequestError

LOOK_EVERY_S = 0.5


def print_log(store: Store, run: str) -> None:
    """Print the newest attempt's log; of a failed one its traceback first."""
    run_id = run_named(store, run)
    record = _newest(store, run_id)
    if record.outcome == "failed" and record.end:
        click.echo(f"attempt {record.attempt.number} of {run_id} failed ({record.end.get('class')})", err=True)
        click.echo(record.end.get("traceback", record.end.get("message", "")), err=True)
    click.echo(_path(store, run_id, record.attempt.number).read_text(encoding="utf-8"), nl=False)


def follow_log(store: Store, run: str) -> None:
    """Print the newest attempt's log and what is added to it, until that attempt ends."""
    run_id = run_named(store, run)
    number, shown = _newest(store, run_id).attempt.number, 0
    while True:
        over = store.states()[run_id].outcome is not None
        text = _path(store, run_id, number).read_text(encoding="utf-8")
        click.echo(text[shown:], nl=False)
        shown = len(text)
        if over:
            return
        time.sleep(LOOK_EVERY_S)


def run_named(store: Store, name: str) -> str:
    """Return the id of the one run that `name` means: an id, the beginning of one, or a model. Raises RequestError."""
    runs = dict(zip(*store.runs().select(["run_id", "model"]).to_pydict().values(), strict=True))
    found = [run_id for run_id, model in runs.items() if run_id == name or model == name]
    found = found or [run_id for run_id in runs if run_id.startswith(name)]
    if len(found) != 1:
        many = "means several runs" if found else "is no run of this store"
        raise RequestError(f"{name!r} {many}; name one of: {', '.join(found or runs)}")
    return found[0]


def _newest(store: Store, run_id: str) -> AttemptRecord:
    records = store.attempts(run_id)
    if not records:
        raise RequestError(f"{run_id} was never started, so it has no log; dit-grid launch starts it")
    return records[-1]


def _path(store: Store, run_id: str, attempt: int) -> Path:
    path = Path(store.paths.full(StorePaths.log(run_id, attempt)))
    if not path.exists():
        raise RequestError(f"attempt {attempt} of {run_id} left no log at {path}; was it killed before it began?")
    return path
