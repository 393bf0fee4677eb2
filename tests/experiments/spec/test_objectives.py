"""Objectives and parametrizations are values like others, leave old ids alone, and what cannot be is said at once."""

import json
from pathlib import Path

import pytest

from dit_grid.experiments.spec import RunSpec, SpecError, load_spec
from dit_grid.experiments.spec.measurement import EvalSetting
from dit_grid.experiments.spec.objective import DiffusionSpec
from dit_grid.orchestrator.planning.plan import evaluation_macs, plan

TREE = Path(__file__).parents[3]

IDS = {
    "tests/golden/digits_first_recipe.yaml": (
        "xl-2-5f9a1ddd xl-4-d51c4725 xl-8-6c20222a l-2-be9e3ecd l-4-37334fb7 l-8-b6eff329 b-2-adf84953 "
        "b-4-3aa1749b b-8-fa0e3736 s-2-e217de5a s-4-ea0a90c0 s-8-00b42edf"
    ),
    "experiments/grid.yaml": (
        "s-8-53d91ef9 s-4-6d181c7f s-2-2aa19dc8 b-8-2168ef51 b-4-afb768c6 b-2-bf38a106 l-8-439b850c "
        "l-4-8c7df119 l-2-d73b1686 xl-8-c1c3a3b5 xl-4-a3762009 xl-2-f96a98de"
    ),
    "experiments/captioned-digits.yaml": ("t-2-4aba98e2 t-2-f447d760"),
}
"""The ids of shipped specs before there were objectives: results that are stored under them stay theirs."""

GRID = """name: test
store: results/test
grid:
  objective: [noise, velocity]
  model.size: [S, B]
sizes:
  S: {width: 16, depth: 1, heads: 2}
  B: {width: 24, depth: 1, heads: 3}
objectives:
  noise: {}
  velocity:
    diffusion: {path: linear, prediction: velocity}
    evaluate: {every: 20, settings: [{metrics: [fd_conv], samples: 10, sampler: ode-heun, steps: 5}]}
model: {patch: 4, image_size: 8, channels: 1, classes: 10}
data: {name: digits}
train: {steps: 40, batch: 8, log_every: 10}
evaluate: {every: 20, settings: [{metrics: [fd_conv], samples: 10, steps: 5}]}
execution: {checkpoint_every: 20}
"""


def spec_of(tmp_path, text):
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    return load_spec(path)


@pytest.mark.parametrize("name", IDS)
def test_shipped_specs_keep_their_ids(name):
    assert [run.id for run in load_spec(TREE / name).runs] == IDS[name].split()


@pytest.fixture
def run(tmp_path) -> RunSpec:
    return spec_of(tmp_path, GRID).runs[2]


def with_fields(run: RunSpec, section: str, **fields) -> RunSpec:
    held = json.loads(run.model_dump_json())
    return RunSpec.model_validate({**held, section: {**held[section], **fields}})


@pytest.mark.parametrize(
    "fields",
    [
        {"path": "gvp"}, {"prediction": "x0"}, {"loss": "x0"}, {"prediction": "epsilon", "weight": "velocity"},
        {"times": "logit-normal"}, {"times": "logit-normal", "times_mean": -0.8},
        {"times": "logit-normal", "times_spread": 0.8},
    ],
)  # fmt: skip
def test_every_field_of_an_objective_is_part_of_the_id(run, fields):
    assert with_fields(run, "diffusion", **fields).id != run.id


def test_one_objective_has_one_id(run):
    assert with_fields(run, "diffusion", loss="velocity", weight="none", times="uniform").id == run.id
    noise = with_fields(run, "diffusion", prediction="noise")
    assert noise.id == with_fields(run, "diffusion", prediction="epsilon", loss="noise").id
    assert noise.diffusion.prediction == "epsilon"


def test_parametrization_and_base_width_are_part_of_the_id_and_their_defaults_are_not(run):
    assert with_fields(run, "train", parametrization="standard", base_width=288).id == run.id
    mup = with_fields(run, "train", parametrization="mup")
    assert mup.id != run.id
    assert with_fields(run, "train", parametrization="mup", base_width=288).id == mup.id
    assert with_fields(run, "train", parametrization="mup", base_width=16).id != mup.id


def test_a_grid_crosses_objectives_with_models(tmp_path):
    runs = spec_of(tmp_path, GRID + "runs: [{objective: velocity, model: {size: S}, seed: 1}]").runs
    assert [(run.model.size, run.diffusion.words, run.evaluate.settings[0].sampler) for run in runs] == [
        ("S", "noise", "ddpm"), ("B", "noise", "ddpm"), ("S", "velocity, linear path", "ode-heun"),
        ("B", "velocity, linear path", "ode-heun"), ("S", "velocity, linear path", "ode-heun"),
    ]  # fmt: skip
    assert len({run.id for run in runs}) == 5


def test_settings_of_an_objective_may_be_an_axis_too(tmp_path):
    text = GRID.replace(
        "objective: [noise, velocity]", "diffusion: [{prediction: x0}, {prediction: x0, loss: velocity}]"
    )
    assert [run.diffusion.words for run in spec_of(tmp_path, text).runs][::2] == ["x0", "x0, loss in velocity"]


@pytest.mark.parametrize(
    ("wrong", "by", "line"),
    [
        ("[noise, velocity]", "[noise, velocty]",
         "spec.yaml:4: objective: got 'velocty' (did you mean 'velocity'?); the file has: noise, velocity"),
        ("prediction: velocity", "prediction: velocty", "(did you mean 'velocity'?); allowed: epsilon, x0"),
        (", prediction: velocity", "", "path linear without prediction: say what the network predicts"),
        ("{path: linear, prediction: velocity}", "{prediction: score}", "prediction score without a path"),
        ("{path: linear, prediction: velocity}", "{path: line, prediction: score}", "allowed: linear, gvp, vp"),
        ("{path: linear, prediction: velocity}", "{weight: velocity}", "weight velocity without a path"),
        ("prediction: velocity", "prediction: velocity, weight: likelihood",
         "weight likelihood with prediction velocity: it weighs epsilon or score predictions"),
        ("prediction: velocity", "prediction: score, loss: velocity, weight: velocity", "two weights of one error"),
        ("prediction: velocity", "prediction: velocity, schedule: cosine", "a path has continuous time"),
        ("prediction: velocity", "prediction: velocity, timesteps: 500", "500 timesteps with path linear"),
        ("prediction: velocity", "prediction: velocity, loss: score", "got 'score'; allowed: epsilon, x0, velocity"),
        ("prediction: velocity", "prediction: velocity, times_mean: 1", "are of times: logit-normal; add it"),
        ("prediction: velocity", "prediction: velocity, times: logit-normal, times_spread: 0", "greater than 0"),
        ("sampler: ode-heun", "sampler: ddim",
         "evaluate.settings[0].sampler ddim does not go with path linear; use ode-euler, ode-heun"),
        ("samples: 10, steps: 5", "samples: 10, sampler: ode-heun",
         "sampler ode-heun does not go with the discrete process; use ddpm, ddim, dpmpp-2m"),
        ("ode-heun, steps: 5", "ode-heun, steps: 1", "steps 1 with sampler ode-heun: eta and clip are of the discrete"),
        ("ode-heun", "ode-heun, clip: true", "clip with sampler ode-heun"),
        ("ode-heun", "ode-heun, eta: 0.5", "eta with sampler ode-heun"),
        ("ode-heun", "ode-heun, last_step: none", "last_step with sampler ode-heun: of sde-euler and sde-heun alone"),
        ("ode-heun", "sde-euler, last_step_size: 1.0", "last_step_size: got 1.0; must be less than 1"),
        ("ode-heun", "sde-euler, sde_form: round", "sde_form: got 'round'; allowed: constant, sbdm, sigma"),
        ("ode-heun", "ode-heun, guidance_interval: [100, 700]", "the times of a path are 0 (noise) to 1 (image)"),
        ("log_every: 10}", "log_every: 10, base_width: 16}", "base_width 16 with parametrization standard"),
        ("log_every: 10}", "log_every: 10, parametrization: mup, optimizer: {name: sgd}}", "its rules are Adam's"),
        ("log_every: 10}", "log_every: 10, parametrization: mpu}", "(did you mean 'mup'?)"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_where_the_spec_is_read(tmp_path, wrong, by, line):
    assert wrong in GRID
    with pytest.raises(SpecError) as caught:
        spec_of(tmp_path, GRID.replace(wrong, by, 1))
    found = str(caught.value).replace(str(tmp_path) + "/", "").splitlines()
    assert any(line in text for text in found), found


def test_mup_wants_one_head_width(tmp_path):
    text = GRID.replace("log_every: 10}", "log_every: 10, parametrization: mup, base_width: 16}")
    assert len(spec_of(tmp_path, text).runs) == 4
    with pytest.raises(
        SpecError, match=r"heads of different widths \(S/4 8, B/4 12\): give each size as many heads as"
    ):
        spec_of(tmp_path, text.replace("B: {width: 24, depth: 1, heads: 3}", "B: {width: 24, depth: 1, heads: 2}"))


@pytest.mark.parametrize(
    ("fields", "evaluations"),
    [
        ({"sampler": "ddpm", "steps": 250}, 250), ({"sampler": "ode-euler", "steps": 250}, 249),
        ({"sampler": "ode-heun", "steps": 20}, 38), ({"sampler": "sde-euler", "steps": 250}, 250),
        ({"sampler": "sde-euler", "steps": 250, "last_step": "none"}, 249), ({"sampler": "sde-heun", "steps": 20}, 39),
    ],
)  # fmt: skip
def test_a_sampler_costs_what_it_evaluates(fields, evaluations):
    assert EvalSetting(metrics=("fid",), **fields).evaluations == evaluations


def test_the_plan_counts_both_evaluations_of_heun(tmp_path):
    rows = plan(spec_of(tmp_path, GRID))
    assert [row.params for row in rows[:2]] == [row.params for row in rows[2:]]  # one network, whatever it predicts
    assert rows[2].eval_gmacs == pytest.approx(rows[0].eval_gmacs * 8 / 5)
    first = spec_of(tmp_path, GRID).runs[0]
    held = first.evaluate.settings[0].model_copy(update={"metrics": ("heldout_loss",)})
    drawn = first.model_copy(update={"evaluate": first.evaluate.model_copy(update={"settings": (held,)})})
    assert evaluation_macs(drawn) == 0


def test_the_words_of_an_objective_tell_it_from_others():
    words = {
        DiffusionSpec().words: "noise",
        DiffusionSpec(prediction="x0", loss="velocity").words: "x0, loss in velocity",
        DiffusionSpec(path="vp", prediction="score", weight="likelihood").words: "score, weight likelihood, vp path",
        DiffusionSpec(times="logit-normal", times_mean=-0.8).words: "noise, times -0.8 ± 1",
        DiffusionSpec(schedule="cosine").words: "noise, cosine schedule",
    }
    assert all(found == expected for found, expected in words.items())
