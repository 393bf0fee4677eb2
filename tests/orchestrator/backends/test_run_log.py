"""Logs of the processes of a run: one each, complete, and found again by `dit-grid logs`."""

import click.testing
import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.experiments.store.run_logs import read_log
from dit_grid.experiments.training.context import Progress
from dit_grid.orchestrator.backends.run_log import RunLog
from dit_grid.orchestrator.commands.cli import cli
from dit_grid.orchestrator.planning.work import record_runs


@pytest.fixture
def store(miniature_spec, tmp_path):
    spec = load_spec(miniature_spec(tmp_path))
    made = Store.create(spec.store)
    record_runs(spec, made)
    return made


def logged(store, run, attempt, rank, *lines):
    log = RunLog(store, run, rank)
    for line in lines:
        log.line(line)
    log.begin(attempt)
    log.close()


def shown(*arguments):
    return click.testing.CliRunner().invoke(cli, ["logs", *arguments])


def test_each_rank_and_attempt_has_its_own_log(store):
    run = store.runs()["run_id"][0].as_py()
    for attempt in (1, 2):
        store.begin_attempt(run, 0)
        for rank in (0, 1, 3):
            logged(store, run, attempt, rank, f"attempt {attempt} rank {rank} speaks")
    where = store.paths.root
    assert "attempt 2 rank 0 speaks" in shown(run, where).output
    assert "attempt 2 rank 3 speaks" in shown(run, where, "--rank", "3").output
    assert "attempt 1 rank 1 speaks" in shown(run, where, "--rank", "1", "--attempt", "1").output
    assert "has logs of ranks 0, 1, 3" in str(shown(run, where, "--rank", "2").exception)
    assert "has attempts 1 to 2" in str(shown(run, where, "--attempt", "5").exception)


def test_a_failed_runs_traceback_comes_first(store):
    run = store.runs()["run_id"][0].as_py()
    attempt = store.begin_attempt(run, 0)
    logged(store, run, 1, 0, "it went well so far")
    store.end_attempt(attempt, "failed", {"class": "error", "traceback": "Traceback: the cause"})
    output = shown(run, store.paths.root).output
    assert output.index("Traceback: the cause") < output.index("it went well so far")


def test_what_is_said_before_the_attempt_has_a_number_is_kept(store):
    log = RunLog(store, "x")
    log.line("before")
    log.progress(Progress("x", 4, 10, 100))
    assert read_log(store, "x", 4).splitlines()[0].endswith("before")


def test_a_log_that_cannot_be_written_ends_no_run_and_comes_later(store, tmp_path):
    log = RunLog(store, "x")
    logs = tmp_path / "store" / "logs"
    logs.write_text("in the way")
    log.begin(1)
    log.line("first")
    logs.unlink()
    log.line("second")
    assert [line.split()[-1] for line in read_log(store, "x", 1).splitlines()] == ["first", "second"]


def test_a_bucket_gets_pieces_that_read_as_one(store, monkeypatch):
    monkeypatch.setattr(RunLog, "_in_a_bucket", property(lambda log: True))
    monkeypatch.setattr("dit_grid.orchestrator.backends.run_log.PIECE_S", 0.0)
    log = RunLog(store, "x", rank=2)
    log.begin(1)
    for number in range(12):
        log.line(f"line {number}")
    log.close()
    assert [line.split()[-1] for line in read_log(store, "x", 1, rank=2).splitlines()] == list(map(str, range(12)))
    assert len(store.files.walk("logs/x")) == 12
