"""What trackers wrote is imported without a mapping where it is obvious; unknown stays unknown, and nothing is half."""

import math
import shutil
from pathlib import Path

import pytest

from dit_grid.experiments.store import StoreError
from dit_grid.experiments.store.export import export
from dit_grid.experiments.store.importing import write_log
from dit_grid.experiments.tracking import read_tracked
from dit_grid.experiments.tracking.wandb_files import read_wandb

GOLDEN = Path(__file__).parents[2] / "golden" / "trackers"
"""Files that wandb 0.31.0 and mlflow 3.17.2 wrote; see the README there."""


def test_sessions_of_a_wandb_run_are_one_run_with_what_its_config_says(store):
    write_log(store, read_tracked(GOLDEN))
    baseline, other = store.runs().to_pylist()
    assert (baseline["run_id"], baseline["model"], baseline["batch"]) == ("baseline", "B/4", 32)
    assert (baseline["seed"], baseline["steps"], baseline["size"]) == (3, 40, "B"), "and not the optimizer's seed"
    assert (other["run_id"], other["model"], other["batch"], other["seed"]) == ("other", None, None, None)
    train = store.train(["baseline"])
    assert train["step"].to_pylist() == [10, 20, 30, 40]
    assert train["loss"].to_pylist() == [0.5, 0.25, 0.125, math.inf]
    assert train["wall_unix_s"].to_pylist()[0] == pytest.approx(1.7958421e9, abs=1e3), "when it was logged"
    found = {(row["run_id"], row["step"], row["metric"]): row["value"] for row in store.evals().to_pylist()}
    assert math.isnan(found.pop(("baseline", 30, "val/fid")))
    assert found == {("baseline", 10, "val/fid"): 20.25, ("other", 5, "accuracy"): 0.75}, "an epoch is no measurement"
    assert {run: state.outcome for run, state in store.states().items()} == {"baseline": "done", "other": "done"}


def test_an_mlflow_folder(store):
    write_log(store, read_tracked(GOLDEN / "mlruns"))
    (run,) = store.runs().to_pylist()
    assert (run["run_id"], run["model"], run["batch"], run["seed"]) == ("base", "B/4", 32, None), "seed was 'auto'"
    assert str(store.train()["loss"].to_pylist()) == "[0.5, nan, inf]"
    assert store.evals()["metric"].to_pylist() == ["val.fid"]
    assert store.states()["base"].outcome == "failed"


def test_a_mapping_renames_and_says_more(store):
    mapping = {"run": {"model": "S/8", "batch": {"column": "config.max_steps"}}, "evals": [
        {"metric": "fid", "step": {"column": "step"}, "value": {"column": "val/fid"}, "samples": 10_000}]}  # fmt: skip
    write_log(store, read_tracked(GOLDEN, mapping))
    assert store.runs()["model"].to_pylist() == ["S/8", "S/8"]
    assert store.runs()["batch"].to_pylist() == [40, None]
    assert set(store.evals(["baseline"])["metric"].to_pylist()) == {"fid"}
    assert set(store.evals(["baseline"])["samples"].to_pylist()) == {10_000}
    with pytest.raises(StoreError, match=r"no column 'config.batchsize'.*did you mean 'config.batch_size'"):
        read_tracked(GOLDEN, {"run": {"batch": {"column": "config.batchsize"}}})


@pytest.mark.parametrize("log", sorted(GOLDEN.glob("wandb/*/*.wandb")), ids=lambda log: log.parent.name)
def test_a_wandb_log_cut_anywhere_reads_as_far_as_it_goes(tmp_path, log):
    whole = list(read_wandb(log.parent)[0].numbers())
    for size in range(7, log.stat().st_size, 13):
        (tmp_path / log.name).write_bytes(log.read_bytes()[:size])
        (run,) = read_wandb(tmp_path)
        assert str(list(run.numbers())) == str(whole[: len(list(run.numbers()))])


def test_a_bit_of_a_wandb_log_that_changed_ends_it(tmp_path):
    log = next(GOLDEN.glob("wandb/*bb22/*.wandb"))
    for place in range(7, log.stat().st_size, 11):
        data = bytearray(log.read_bytes())
        data[place] ^= 4
        (tmp_path / log.name).write_bytes(data)
        assert set(read_wandb(tmp_path)[0].numbers()) <= {(5, "accuracy", 0.75), (5, "lr", 0.5)}


def test_event_files_of_several_runs(store, filled, numbers, tmp_path):
    filled(store, "one")
    filled(store, "two")
    export(store, tmp_path / "curves", "tensorboard")
    other = type(store).create(str(tmp_path / "other"))
    assert write_log(other, read_tracked(tmp_path / "curves")) == ["one", "two"]
    assert numbers(other, "two") == pytest.approx(numbers(store, "two"), rel=1e-6, nan_ok=True)
    assert {state.outcome for state in other.states().values()} == {"interrupted"}, "curves do not say how it ended"


def test_what_is_nothing_of_the_kind_is_refused_in_one_line(store, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match=r"empty: holds no run of W&B .* MLflow .* TensorBoard"):
        read_tracked(tmp_path / "empty")
    (tmp_path / "run-x.wandb").write_bytes(b"nothing of the kind")
    with pytest.raises(StoreError, match=r"run-x.wandb: not a log of W&B \(it does not begin with :W&B\)"):
        read_tracked(tmp_path)
    shutil.copytree(GOLDEN / "mlruns", tmp_path / "mlruns")
    next((tmp_path / "mlruns").glob("*/*/metrics/val.fid")).write_text("4000 much 3\n")
    with pytest.raises(StoreError, match="not a run of MLflow that can be read"):
        read_tracked(tmp_path / "mlruns")
    assert store.run_ids() == []
