"""A run on its own, in this process: it resumes where it was, survives a bad checkpoint, yields to a later attempt."""

import io
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.data.digits import digits
from dit_grid.experiments.evaluation import evaluation
from dit_grid.experiments.evaluation.evaluation import Evaluation
from dit_grid.experiments.running.training_run import train
from dit_grid.experiments.spec.measurement import EvalSetting
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.store import StorageError, Store, StorePaths, SupersededError
from dit_grid.experiments.store.check import check
from dit_grid.experiments.store.partials import partials_of
from dit_grid.experiments.training.checkpoint_list import checkpoint_folder, live_checkpoints
from dit_grid.experiments.training.checkpoints import Checkpoints
from dit_grid.experiments.training.context import Context
from dit_grid.experiments.training.failures import STORAGE, classify
from dit_grid.experiments.training.kept_programs import program_of
from dit_grid.experiments.training.update import Program
from dit_grid.orchestrator.backends.run_log import RunLog

RUN = RunSpec.model_validate(
    {
        "model": {"size": "T", "patch": 4, "image_size": 8, "channels": 1, "classes": 10, "width": 16, "depth": 1,
                  "heads": 2},
        "data": {"name": "digits"},
        "train": {"steps": 40, "batch": 16, "log_every": 10, "optimizer": {"learning_rate": 2e-3, "warmup_steps": 5}},
        "evaluate": {"every": 20, "settings": [
            {"metrics": ["fd_conv", "accuracy"], "samples": 70, "sampler": "ddim", "steps": 4},
            {"metrics": ["heldout_loss"], "samples": 50, "weights": "raw"},
        ]},
        "execution": {"checkpoint_every": 10, "steps_per_call": 5, "keep_checkpoints": 3},
    }
)  # fmt: skip

EXACT = ["step", "loss", "mse", "vb", "loss_t1", "loss_t2", "loss_t3", "loss_t4", "grad_norm", "param_norm"]


def numbers(store):
    evals = store.evals().select(["step", "metric", "protocol", "value"]).to_pylist()
    return store.train().select(EXACT).to_pylist(), evals


class StopAfter:
    """Asks for a stop once so many windows were logged."""

    def __init__(self, windows):
        self.windows = windows

    def __call__(self):
        self.windows -= 1
        return self.windows < 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run without an interruption, and its store."""
    store = Store.create(str(tmp_path_factory.mktemp("whole") / "store"))
    outcome = train(RUN, Context(store))
    assert (outcome.kind, outcome.step, outcome.attempt) == ("done", 40, 1)
    return store


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """The folder of a store in which the run was stopped half way, at its second checkpoint."""
    store = Store.create(str(tmp_path_factory.mktemp("interrupted") / "store"))
    assert train(RUN, Context(store, stop_requested=StopAfter(2))).step == 20
    return store.paths.root


@pytest.fixture
def stopped(interrupted, tmp_path):
    """A store of the test's own in which the run was stopped half way, at its second checkpoint."""
    shutil.copytree(interrupted, tmp_path / "stopped")
    return Store.open(str(tmp_path / "stopped"))


@pytest.fixture
def store(tmp_path):
    return Store.create(str(tmp_path / "store"))


def test_every_window_and_evaluation_has_its_row(whole):
    train_rows, evals = numbers(whole)
    assert [row["step"] for row in train_rows] == [10, 20, 30, 40]
    assert [(row["step"], row["metric"]) for row in evals] == [
        (step, metric) for step in (20, 40) for metric in ("accuracy", "fd_conv", "heldout_loss")
    ]


def test_the_loss_by_timestep_averages_to_the_loss(whole):
    for row in whole.train().to_pylist():
        assert row["loss"] == pytest.approx(row["mse"] + row["vb"], rel=1e-5)
        quarters = [row[f"loss_t{part}"] for part in (1, 2, 3, 4)]
        assert min(quarters) < row["loss"] < max(quarters)


def test_a_stopped_run_goes_on_from_where_it_was_and_ends_with_the_same_numbers(whole, store, monkeypatch):
    outcome = train(RUN, Context(store, stop_requested=StopAfter(1)))
    assert (outcome.kind, outcome.step) == ("interrupted", 20)
    monkeypatch.setattr(Program, "init", None)  # a first state beside the restored one would take its memory twice
    outcome = train(RUN, Context(store))
    assert (outcome.kind, outcome.step, outcome.attempt) == ("done", 40, 2)
    assert store.attempts(RUN.id)[1].attempt.resume_step == 20
    assert numbers(store) == numbers(whole)


def test_a_run_killed_while_it_is_measured_loses_no_training_and_is_measured_again(whole, store, monkeypatch):
    rows = Evaluation.rows

    def cut(self, step, *given):
        for row in rows(self, step, *given):
            yield row
            if step == 40:
                raise KeyboardInterrupt

    monkeypatch.setattr(Evaluation, "rows", cut)
    with pytest.raises(KeyboardInterrupt):
        train(RUN, Context(store))
    monkeypatch.undo()
    assert train(RUN, Context(store)).attempt == 2
    assert store.attempts(RUN.id)[1].attempt.resume_step == 40
    assert numbers(store) == numbers(whole)


def test_a_run_stopped_while_it_draws_samples_draws_the_rest_when_it_goes_on(whole, store, monkeypatch):
    monkeypatch.setattr(evaluation, "SAMPLE_BATCH", 30)
    outcome = train(RUN, Context(store, stop_requested=StopAfter(3)))  # two windows, and a chunk
    assert (outcome.kind, outcome.step, store.evals().num_rows) == ("interrupted", 20, 0)
    (kept,) = partials_of(store.files, RUN.id)
    assert (kept.attempt, kept.step, kept.chunks) == (1, 20, 2)
    starts, chunks = [], Evaluation._chunks

    def told(self, params, setting, start):
        starts.append(start)
        return chunks(self, params, setting, start)

    monkeypatch.setattr(Evaluation, "_chunks", told)
    outcome = train(RUN, Context(store))
    assert (outcome.kind, outcome.step, starts) == ("done", 40, [60, 0])
    assert numbers(store) == numbers(whole)
    assert partials_of(store.files, RUN.id) == []


def test_a_damaged_checkpoint_costs_only_the_way_from_the_one_before(whole, stopped):
    step, attempt = live_checkpoints(stopped, RUN.id)[-1]
    folder = Path(checkpoint_folder(stopped, RUN.id, attempt, step))
    for file in folder.rglob("*"):
        if file.is_file() and file.stat().st_size > 1000:
            file.write_bytes(file.read_bytes()[:100])
    train(RUN, Context(stopped))
    record = stopped.attempts(RUN.id)[1]
    assert record.attempt.resume_step == step - 10
    assert str(folder) in record.start["unreadable_checkpoints"][0]
    assert numbers(stopped) == numbers(whole)


def flipped(file, seed):
    """Flip one bit of a file, anywhere."""
    content = bytearray(file.read_bytes())
    place = random.Random(seed).randrange(8 * len(content))
    content[place // 8] ^= 1 << place % 8
    file.write_bytes(content)


def test_no_flipped_bit_of_any_file_of_a_checkpoint_is_restored(stopped):
    (_, before), (step, attempt) = live_checkpoints(stopped, RUN.id)[-2:]
    folder = Path(checkpoint_folder(stopped, RUN.id, attempt, step))
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.stat().st_size]
    assert len(files) > 4
    checkpoints, like = Checkpoints(stopped, RUN.id), program_of(RUN).init()
    for seed, file in enumerate(files):
        whole = file.read_bytes()
        flipped(file, seed)
        restored = checkpoints.restore_newest(like)
        assert (restored.step, restored.attempt) == (step - 10, before)
        assert str(file.relative_to(folder)) in restored.unreadable[0]
        found = [finding.name for finding in check(stopped) if finding.is_error and "checkpoints" in finding.name]
        assert found == [str(folder.relative_to(stopped.files.root))]
        file.write_bytes(whole)
    assert checkpoints.restore_newest(like).step == step
    checkpoints.close()


def test_a_run_whose_newest_checkpoint_changed_by_a_bit_ends_with_the_same_numbers_and_says_so(whole, stopped):
    step, attempt = live_checkpoints(stopped, RUN.id)[-1]
    files = Path(checkpoint_folder(stopped, RUN.id, attempt, step)).rglob("d/*")
    flipped(max(files, key=lambda file: file.stat().st_size), seed=1)
    train(RUN, Context(stopped))
    record = stopped.attempts(RUN.id)[1]
    assert record.attempt.resume_step == step - 10
    assert "is not what was written (sha256)" in record.start["unreadable_checkpoints"][0]
    assert numbers(stopped) == numbers(whole)


def test_a_mark_of_an_earlier_program_has_sizes_only_and_counts(whole, stopped):
    (step, _) = live_checkpoints(stopped, RUN.id)[-1]
    for mark in Path(stopped.files.root).glob("checkpoints/*/whole.*"):
        record = json.loads(mark.read_text())
        del record["digests"]
        mark.write_text(json.dumps(record))
    train(RUN, Context(stopped))
    assert stopped.attempts(RUN.id)[1].attempt.resume_step == step
    assert numbers(stopped) == numbers(whole)


@pytest.mark.parametrize("moment", ["between checkpoints", "while one is written"])
def test_a_store_that_goes_away_is_not_made_anew_and_completed_when_it_is_back(whole, tmp_path, monkeypatch, moment):
    """No writer of a run (rows, checkpoints, log, pictures) makes the folder again; the failure is of the store."""
    store = Store.create(str(tmp_path / "store"))
    away, windows = tmp_path / "away", []
    log = RunLog(store, RUN.id)

    def move():
        (tmp_path / "store").rename(away)

    def report(progress):
        log.progress(progress)
        windows.append(progress.step)
        if moment == "between checkpoints" and progress.step == 20 and not away.exists():
            move()

    if moment == "while one is written":
        save = Checkpoints._prepare

        def moved(self, attempt):
            save(self, attempt)
            if windows[-1] == 20:
                move()

        monkeypatch.setattr(Checkpoints, "_prepare", moved)
    with pytest.raises(StorageError, match=r"the store's folder is gone; is its disk mounted\?") as caught:
        train(RUN, Context(store, report=report))
    monkeypatch.undo()
    assert classify(caught.value) == STORAGE
    log.line("something more")
    log.close()
    assert not (tmp_path / "store").exists()
    away.rename(tmp_path / "store")
    assert train(RUN, Context(store)).kind == "done"
    assert numbers(store) == numbers(whole)


def test_an_empty_folder_where_a_disk_was_mounted_is_not_written_to(tmp_path):
    store = Store.create(str(tmp_path / "store"))
    attempt = store.begin_attempt(RUN.id, 0)
    (tmp_path / "store").rename(tmp_path / "away")
    (tmp_path / "store").mkdir()
    log = RunLog(store, RUN.id)
    log.begin(1)
    log.line("lost")
    with pytest.raises(StorageError, match="another folder stands in the store's place"):
        store.end_attempt(attempt, "failed")
    with pytest.raises(StorageError, match="another folder stands in the store's place"):
        store.states()
    assert list((tmp_path / "store").iterdir()) == []


def test_checkpoints_are_kept_as_many_as_asked_for(whole):
    assert [step for step, _ in live_checkpoints(whole, RUN.id)] == [20, 30, 40]


def test_a_run_that_was_replaced_stops_before_its_next_checkpoint(store):
    later = []

    def begin_a_later_attempt():
        later.append(1)
        if len(later) == 1:
            store.begin_attempt(RUN.id, 0)
        return False

    with pytest.raises(SupersededError, match="was replaced by a later one"):
        train(RUN, Context(store, stop_requested=begin_a_later_attempt))
    assert store.train().num_rows == 0  # nothing of it counts
    assert live_checkpoints(store, RUN.id) == []


def test_the_same_weights_give_the_same_numbers_whatever_the_chunk(whole, monkeypatch):
    program = program_of(RUN)
    state = program.init()
    setting = EvalSetting(metrics=("fd_conv",), samples=70, sampler="ddpm", steps=4)
    evaluate = RUN.evaluate.model_copy(update={"settings": (setting,)})
    evaluation = Evaluation(RUN.model_copy(update={"evaluate": evaluate}), program, digits())
    first, labels = evaluation.samples(state.params, setting)
    again, _ = evaluation.samples(state.params, setting)
    np.testing.assert_array_equal(first, again)
    monkeypatch.setattr("dit_grid.experiments.evaluation.evaluation.SAMPLE_BATCH", 33)
    # Another batch shape is another program, whose sums may round differently.
    np.testing.assert_allclose(evaluation.samples(state.params, setting)[0], first, atol=1e-5)
    assert list(labels[:10]) == list(range(10))


def test_every_evaluation_row_says_all_that_can_change_it(whole):
    rows = {row["metric"]: row for row in whole.evals().to_pylist()}
    sampled = rows["fd_conv"]
    assert (sampled["samples"], sampled["sampler"], sampled["sampler_steps"]) == (70, "ddim", 4)
    assert (sampled["guidance"], sampled["weights"], sampled["seed"]) == (1.0, "ema", 0)
    assert len(sampled["reference_sha256"]) == len(sampled["features_sha256"]) == len(sampled["code_sha256"]) == 64
    assert (rows["heldout_loss"]["samples"], rows["heldout_loss"]["weights"]) == (50, "raw")
    assert rows["heldout_loss"]["protocol"] != sampled["protocol"]


def test_kept_samples_stand_with_the_labels_that_they_were_asked_for(whole):
    names = sorted(whole.files.walk(StorePaths.samples(RUN.id)))
    assert [name[-13:] for name in names] == ["000000020.npz", "000000040.npz"]
    for name in names:
        held = np.load(io.BytesIO(whole.files.read(name)))
        assert held["samples"].shape == (20, 8, 8, 1)
        assert list(held["labels"]) == [*range(10), *range(10)]


def test_data_that_do_not_fit_the_network_are_refused_before_anything_runs(store):
    wrong = RUN.model_copy(update={"model": RUN.model.model_copy(update={"classes": 7})})
    with pytest.raises(DataError, match="8x8x1 and 7 classes, but dataset digits has 8x8x1 and 10 classes"):
        train(wrong, Context(store))
    assert store.states()[wrong.id].outcome == "failed"


def test_a_full_disk_ends_the_attempt_as_a_storage_failure(store, monkeypatch):
    def full(self, attempt, step, state):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dit_grid.experiments.training.checkpoints.Checkpoints.save", full)
    with pytest.raises(OSError, match="No space left"):
        train(RUN, Context(store))
    assert (store.attempts(RUN.id)[0].end or {})["class"] == "storage"
    shutil.rmtree(store.paths.root)


def test_each_update_sees_the_batch_of_its_own_step(whole):
    program, data, found = program_of(RUN), digits(), []
    state = program.init()
    for step in range(10):
        batch = data.batch(RUN.seed, step, RUN.train.batch)
        state, losses = program.advance(state, batch.images[None], batch.labels[None])
        found.append(float(losses.loss))
    assert np.mean(found) == pytest.approx(whole.train().to_pylist()[0]["loss"], rel=1e-6)
    assert len(set(found)) == 10


def test_checkpoints_past_the_point_where_a_later_attempt_took_over_do_not_count(whole, tmp_path):
    shutil.copytree(whole.paths.root, tmp_path / "copy")
    copy = Store.open(str(tmp_path / "copy"))
    copy.begin_attempt(RUN.id, 30)
    assert live_checkpoints(copy, RUN.id) == [(20, 1), (30, 1)]
    assert [row["step"] for row in copy.train().to_pylist()] == [10, 20, 30]
