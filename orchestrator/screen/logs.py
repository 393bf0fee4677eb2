"""A run's log for a person: the traceback first if it failed, then what it printed, or what it prints from now on."""

import re
import time

import click

from dit_grid.experiments.running.owed_evaluations import job_id, parsed_job_id
from dit_grid.experiments.store import AttemptRecord, Store, StorePaths
from dit_grid.experiments.store.run_logs import read_log
from dit_grid.orchestrator.control.errors import RequestError

LOOK_EVERY_S = 0.5


def print_log(store: Store, run: str, attempt: int | None = None, rank: int = 0) -> None:
    """Print the log of a process of an attempt, by default the newest's rank 0; of a failed one its traceback first."""
    if (job := parsed_job_id(run)) is not None:
        click.echo(_of_evaluation(store, job_id(run_named(store, job[0]), job[1]), attempt, rank), nl=False)
        return
    run_id = run_named(store, run)
    record = _attempt(store, run_id, attempt)
    if record.outcome == "failed" and record.end:
        click.echo(f"attempt {record.attempt.number} of {run_id} failed ({record.end.get('class')})", err=True)
        click.echo(record.end.get("traceback", record.end.get("message", "")), err=True)
    click.echo(_existing(store, run_id, record.attempt.number, rank), nl=False)


def follow_log(store: Store, run: str, attempt: int | None = None, rank: int = 0) -> None:
    """Print a log and what is added to it, until its attempt ends."""
    run_id = run_named(store, run)
    number, shown = _attempt(store, run_id, attempt).attempt.number, 0
    while True:
        over = next(r for r in store.attempts(run_id) if r.attempt.number == number).outcome is not None
        text = (_existing if over else read_log)(store, run_id, number, rank)
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


def _of_evaluation(store: Store, job: str, attempt: int | None, rank: int) -> str:
    """Return the log of an evaluation job, which is named by the attempt that wrote the checkpoint."""
    names = store.files.walk(StorePaths.logs(job))
    found = [int(match[1]) for name in names if (match := re.search(r"/a(\d{6})[^/]*$", name))]
    if not found:
        raise RequestError(f"{job} has no log; was it started? dit-grid status says why it waits")
    return _existing(store, job, max(found) if attempt is None else attempt, rank)


def _attempt(store: Store, run_id: str, number: int | None) -> AttemptRecord:
    records = store.attempts(run_id)
    if not records:
        raise RequestError(f"{run_id} was never started, so it has no log; dit-grid launch starts it")
    found = records[-1:] if number is None else [record for record in records if record.attempt.number == number]
    if not found:
        raise RequestError(f"--attempt {number}: {run_id} has attempts 1 to {records[-1].attempt.number}")
    return found[0]


def _existing(store: Store, run_id: str, attempt: int, rank: int) -> str:
    """Return a log. Raises RequestError, naming the ranks that have one, if this process left none."""
    text = read_log(store, run_id, attempt, rank)
    if text:
        return text
    names = store.files.walk(StorePaths.logs(run_id), StorePaths.log(run_id, attempt).rpartition("/")[2][:7])
    ranks = sorted({int(found[1]) if (found := re.search(r"\.r(\d{4})", name)) else 0 for name in names})
    where = store.paths.full(StorePaths.log(run_id, attempt, rank))
    if not ranks:
        raise RequestError(f"attempt {attempt} of {run_id} left no log at {where}; was it killed before it began?")
    has = f"0 to {ranks[-1]}" if ranks == list(range(len(ranks))) else ", ".join(map(str, ranks))
    raise RequestError(f"--rank {rank}: attempt {attempt} of {run_id} has logs of ranks {has}")
