"""What a run still owes is told by every column that a setting decides; a job is told from a run by its fields."""

import pytest

from dit_grid.experiments.evaluation.evaluation import Evaluation
from dit_grid.experiments.running.owed_evaluations import EvaluationJob, evaluation_job, job_from_json, lacking
from dit_grid.experiments.spec.measurement import EvalSetting
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.store import Store

SETTING = {"metrics": ["fid"], "reference": "adm", "samples": 50, "steps": 10, "guidance": 1.5}


def run_of(*settings, **files):
    return RunSpec.model_validate({
        "model": {"size": "S", "patch": 4, "image_size": 8, "width": 8, "depth": 1, "heads": 2},
        "data": {"name": "digits"},
        "train": {"steps": 10, "log_every": 10},
        "evaluate": {"every": 10, "settings": settings, "files": files},
        "execution": {"checkpoint_every": 10},
    })  # fmt: skip


def row_of(setting):
    """The row that an evaluation writes."""
    drawn = Evaluation._sampling(EvalSetting.model_validate(setting))
    return drawn | {"metric": setting["metrics"][0], "step": 10, "value": 1.0, "protocol": "p", "weights": "ema",
                    "seed": 0, "samples": 50, "reference": setting.get("reference") or ""}  # fmt: skip


def owed(tmp_path, setting, row):
    """What a run of one setting lacks where a row is there under its id."""
    store, run = Store.create(tmp_path / "store"), run_of(setting)
    with store.writer(store.begin_attempt(run.id, 0)) as writer:
        writer.eval(row)
    return lacking(store, [run])[run.id]


@pytest.mark.parametrize(
    "other",
    [
        {"sampler": "ddim"}, {"eta": 0.5, "sampler": "ddim"}, {"clip": True}, {"guidance_interval": (100.0, 700.0)},
        {"guidance_channels": 3}, {"labels": "uniform"}, {"decoder": "mse"}, {"reference": "val"}, {"steps": 20},
    ],
)  # fmt: skip
def test_a_row_of_another_way_to_sample_is_not_what_the_run_owes(tmp_path, other):
    assert owed(tmp_path / "own", SETTING, row_of(SETTING)) == []
    assert owed(tmp_path / "other", SETTING | other, row_of(SETTING | other)) == []
    assert owed(tmp_path / "a", SETTING, row_of(SETTING | other)) == [10]
    assert owed(tmp_path / "b", SETTING | other, row_of(SETTING)) == [10]


def test_rows_without_the_later_columns_are_of_the_default(tmp_path):
    row = {name: value for name, value in row_of(SETTING).items() if name not in ("labels", "guidance_channels")}
    assert owed(tmp_path, SETTING, row | {"decoder": None}) == []


def test_a_run_whose_files_are_called_like_a_jobs_field_is_a_run():
    run = run_of(SETTING, adm="adm.npz", measures="elsewhere.npz")
    assert job_from_json(run.model_dump_json()) == run
    assert not isinstance(job_from_json(run.model_dump_json()), EvaluationJob)
    job = evaluation_job(run, 10)
    assert job_from_json(job.model_dump_json()) == job
