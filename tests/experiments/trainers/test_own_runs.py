"""A trainer of one's own in this process's hands: every number once, whatever kills it; what it does wrong is said."""

import json
import shutil
import subprocess
import sys
import threading

import pytest

from dit_grid.experiments.store import Attempt, Store
from dit_grid.experiments.trainers import client
from dit_grid.experiments.trainers.attempt import train
from dit_grid.experiments.training.checkpoint_list import live_checkpoints
from dit_grid.experiments.training.context import Context, Progress

RUN_HERE = "import sys; sys.path.insert(0, ''); exec(open('own.py').read())"
"""Isolated from this environment's packages, with the working folder alone."""


@pytest.fixture
def whole(toy, numbers, tmp_path):
    """The numbers of the run when nothing happens to it."""
    store = Store.create(str(tmp_path / "whole"))
    assert train(toy(), Context(store)).outcome == "done"
    return [[{**row, "run_id": ""} for row in rows] for rows in numbers(store)]


def nameless(found):
    """Rows without the run's id, which what is to go wrong is part of."""
    return [[{**row, "run_id": ""} for row in rows] for rows in found]


def test_every_row_is_there_with_its_speed_and_the_run_is_done(store, toy):
    seen: list[Progress] = []
    run = toy()
    ended = train(run, Context(store, report=seen.append))
    assert (ended.outcome, ended.step) == ("done", 40)
    rows = store.train().to_pylist()
    assert [row["step"] for row in rows] == list(range(1, 41))
    assert all(row["steps_per_s"] > 0 for row in rows)
    evals = store.evals().to_pylist()
    assert [(row["step"], row["metric"]) for row in evals if row["metric"] == "score"] == [
        (step, "score") for step in (10, 20, 30, 40)
    ]
    assert {row["samples"] for row in evals} == {7}
    assert [step for step, _ in live_checkpoints(store, run.id)] == [30, 40]  # as many as are to be kept
    assert seen[0].activity == "starting"
    assert seen[-1].activity == "done"
    end = store.attempts(run.id)[-1].end
    assert end["summary"]["metrics"]["score"] == 0.02
    assert end["summary"]["loss"] == rows[-1]["loss"]


@pytest.mark.parametrize(("death", "outcome", "step"), [("SIGKILL", "lost", 20), ("SIGTERM", "interrupted", 23)])
def test_a_trainer_that_is_killed_goes_on_from_its_checkpoint_with_the_same_numbers(
    store, toy, numbers, whole, death, outcome, step
):
    """Of SIGKILL it learns nothing; at SIGTERM it has time for a checkpoint."""
    run = toy(wrong=death)
    ended = train(run, Context(store))
    assert (ended.outcome, ended.step) == (outcome, step)
    assert (death in ended.message) == (death == "SIGKILL")
    again = train(run, Context(store))
    assert again.outcome == "done"
    record = store.attempts(run.id)[-1]
    assert (record.attempt.number, record.attempt.resume_step, record.start["resumed_attempt"]) == (2, step, 1)
    assert nameless(numbers(store)) == whole


def test_rows_reach_the_store_before_the_mark_that_covers_them(store, toy):
    """At every moment a checkpoint is marked, all rows below it are there."""
    run, held = toy(), []

    def look(progress):
        for step, _ in live_checkpoints(store, run.id)[-1:]:
            held.append((step, store.train().num_rows))

    train(run, Context(store, report=look))
    assert held
    assert all(rows >= step for step, rows in held)


def test_a_stop_comes_after_a_checkpoint_and_the_run_goes_on_from_there(store, toy, numbers, whole):
    run = toy(sleep=0.02)
    asked: list[Progress] = []
    ended = train(run, Context(store, asked.append, lambda: len(asked) > 1))
    assert ended.outcome == "interrupted"
    assert 0 < ended.step < 40
    assert train(run, Context(store)).outcome == "done"
    assert store.attempts(run.id)[1].attempt.resume_step == ended.step
    assert nameless(numbers(store)) == whole


def test_a_damaged_checkpoint_costs_only_the_way_from_the_one_before(store, toy, numbers, whole):
    run = toy(wrong="SIGKILL")
    train(run, Context(store))
    folder = store.paths.full(f"checkpoints/{run.id}/a000001/s000000020")
    with open(f"{folder}/state.json", "w") as file:
        file.write("0")
    assert train(run, Context(store)).outcome == "done"
    record = store.attempts(run.id)[-1]
    assert record.attempt.resume_step == 10
    assert "state.json has 1 bytes" in record.start["unreadable_checkpoints"][0]
    assert nameless(numbers(store)) == whole


def test_a_program_gets_its_settings_on_its_command_line_and_its_output_is_kept(store, toy, capsys):
    run = toy({"command": ["{python}", "toy_trainer.py", "{config.width}"]})
    assert train(run, Context(store)).outcome == "done"
    said = toy({"command": [sys.executable, "-c", "print('seed {seed} of {config.width}'); raise SystemExit(3)"]})
    ended = train(said, Context(store))
    assert ended.outcome == "error"
    assert "seed 0 of 2" in capsys.readouterr().out


def test_a_program_of_an_older_python_speaks_by_the_printed_file_alone(store, toy, tmp_path):
    there = filter(shutil.which, ("python3.9", "python3.10"))
    old = [name for name in there if subprocess.run([name, "-c", ""], capture_output=True).returncode == 0]
    if not old:
        pytest.skip("no older Python here")
    shutil.copy(client.__file__, tmp_path / "dit_grid_run.py")
    (tmp_path / "own.py").write_text("import toy_trainer, dit_grid_run\ntoy_trainer.train(dit_grid_run.current_run)\n")
    assert train(toy({"command": [old[0], "-I", "-c", RUN_HERE]}), Context(store)).outcome == "done"
    assert store.train().num_rows == 40


@pytest.mark.parametrize(
    ("wrong", "outcome", "words"),
    [
        ("nan", "nan", "log of step 23: loss is nan, not finite"),
        ("back", "bad-input", "log: step 20 went back; row 22 was written already, and steps must grow"),
        ("text", "bad-input", "evaluate of step 23: distance is 'low', not a number"),
        ("column", "bad-input", "log of step 23: no column 'perplexity'; it takes"),
        ("empty", "bad-input", "commit: checkpoint_folder(23) holds no file"),
        ("raise", "error", "the trainer exited with status 1: LookupError: the seventh shard is gone"),
        ("memory", "out-of-memory", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB"),
        ("3", "error", "the trainer exited with status 3 and wrote no error"),
        ("75", "storage", "status 75 asks for another try"),
        ("SIGABRT", "error", "the trainer died of SIGABRT"),
        ("early", "error", "the trainer ended well, but only after step 20 of 40; log, evaluate or commit step 40"),
    ],
)
def test_what_goes_wrong_has_its_class_and_one_line(store, toy, wrong, outcome, words):
    run = toy(wrong=wrong)
    ended = train(run, Context(store))
    assert ended.outcome == outcome
    assert words in ended.message
    assert "\n" not in ended.message
    record = store.attempts(run.id)[-1]
    assert (record.outcome, record.end["class"], record.end["message"]) == ("failed", outcome, ended.message)
    assert ended.step == 20
    if wrong == "raise":
        assert "Traceback" in record.end["traceback"]


def test_a_run_that_was_replaced_commits_nothing_more(store, toy):
    run = toy(sleep=0.02)
    begun: list[Attempt] = []

    def replace(progress):
        if not begun and progress.step:
            begun.append(store.begin_attempt(run.id, 0))

    ended = train(run, Context(store, replace))
    assert ended.outcome == "superseded"
    assert live_checkpoints(store, run.id) == []
    assert store.train().num_rows == 0


def test_config_and_its_types_arrive_as_they_were_given(store, toy, tmp_path):
    (tmp_path / "told.py").write_text(
        "import json, pathlib\n"
        "def train(run):\n"
        "    told = [run.config, run.seed, run.step, run.steps, run.rank, run.world, run.stop_requested]\n"
        "    pathlib.Path('told.json').write_text(json.dumps(told))\n"
        "    run.log(run.steps)\n"
    )
    run = toy("told:train", deep={"a": [1, 2.5, None]}, flag=True)
    assert train(run, Context(store)).outcome == "done"
    config = {"width": 2, "deep": {"a": [1, 2.5, None]}, "flag": True}
    assert json.loads((tmp_path / "told.json").read_text()) == [config, 0, 0, 40, 0, 1, False]


def test_every_host_of_a_gang_runs_it_and_the_first_writes(store, toy, numbers, whole):
    run, ends = toy(sleep=0.02), {}

    def host(rank):
        ends[rank] = train(run, Context(store, rank=rank, world=2, coordinator="here:1234")).outcome

    hosts = [threading.Thread(target=host, args=(rank,)) for rank in range(2)]
    for thread in hosts:
        thread.start()
    for thread in hosts:
        thread.join(120)
    assert ends == {0: "done", 1: "done"}
    assert len(store.attempts(run.id)) == 1
    assert nameless(numbers(store)) == whole
