"""A spec file becomes the runs it describes, each with an id that changes exactly when a number could."""

from pathlib import Path

import pytest

from dit_grid.experiments.spec import RunSpec, load_spec

SHIPPED = Path(__file__).parents[3] / "experiments"

TWO_SIZES = """
name: test
store: results/test
grid:
  model.size: [S, B]
  model.patch: [4, 2]
sizes:
  S: {width: 16, depth: 1, heads: 2}
  B: {width: 24, depth: 2, heads: 2}
model: {image_size: 8, channels: 1, classes: 10}
data: {name: digits}
train: {steps: 40, batch: 8, log_every: 10}
evaluate: {every: 20, settings: [{metrics: [fd_conv], samples: 10, steps: 5}]}
execution: {checkpoint_every: 20}
"""


def spec_of(tmp_path, text, groups=()):
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    return load_spec(path, groups)


def names(spec):
    return [run.model.name for run in spec.runs]


def test_the_shipped_digits_spec_is_the_papers_grid_scaled_down():
    spec = load_spec(SHIPPED / "digits.yaml")
    assert sorted(names(spec)) == sorted(f"{size}/{patch}" for size in ("S", "B", "L", "XL") for patch in (8, 4, 2))
    assert len({run.id for run in spec.runs}) == 12


def test_the_shipped_grid_spec_is_the_papers_training():
    """Peebles & Xie (2022), section 4: 400K steps, batch 256, AdamW at 1e-4 without decay, EMA 0.9999, FID-50K."""
    spec = load_spec(SHIPPED / "grid.yaml")
    assert len(spec.runs) == 12
    for run in spec.runs:
        optimizer = run.train.optimizer
        assert (run.train.steps, run.train.batch, run.train.ema.decay) == (400_000, 256, 0.9999)
        assert (optimizer.learning_rate, optimizer.weight_decay, optimizer.clip_norm) == (1e-4, 0, None)
        assert (optimizer.beta1, optimizer.beta2, run.train.class_dropout) == (0.9, 0.999, 0.1)
        assert run.evaluate.every == 50_000
        assert [(s.samples, s.sampler, s.steps, s.guidance) for s in run.evaluate.settings if s.when == "every"] == [
            (50_000, "ddpm", 250, 1)
        ]
        assert [(s.samples, s.steps) for s in run.evaluate.settings if s.when == "end"] == [
            (10_000, steps) for steps in (16, 32, 64, 128, 256, 1000)
        ]  # Figure 10
        assert {(s.decoder, s.labels, s.features) for s in run.evaluate.settings} == {
            ("sd-vae-ft-mse", "uniform", "inception")
        }
    assert {run.execution.resources.slice for run in spec.runs} == {"v3-32", "v3-64", "v3-128", "v3-256"}


def test_groups_add_the_papers_other_rows():
    spec = load_spec(SHIPPED / "grid.yaml", groups=["blocks", "512", "long"])
    extra = spec.runs[12:]
    assert {run.model.block for run in extra[:3]} == {"in-context", "cross-attention", "adaln"}
    assert extra[3].model.image_size == 64
    assert extra[4].train.steps == 7_000_000


def test_the_grid_is_the_product_in_the_files_order(tmp_path):
    assert names(spec_of(tmp_path, TWO_SIZES)) == ["S/4", "S/2", "B/4", "B/2"]


def test_overrides_reach_the_models_their_glob_names_and_no_other(tmp_path):
    spec = spec_of(tmp_path, TWO_SIZES + 'overrides: {"B/*": {train: {batch: 4}}, "*/2": {seed: 7}}')
    assert [(run.train.batch, run.seed) for run in spec.runs] == [(8, 0), (8, 7), (4, 0), (4, 7)]


def test_include_and_exclude_select_by_glob(tmp_path):
    assert names(spec_of(tmp_path, TWO_SIZES + 'include: ["B/*"]\nexclude: ["*/4"]')) == ["B/2"]


def test_an_extra_run_can_bring_a_shape_of_its_own(tmp_path):
    extra = "runs: [{model: {size: wide, patch: 2, width: 40, depth: 1, heads: 4}}]"
    run = spec_of(tmp_path, TWO_SIZES + extra).runs[-1]
    assert (run.model.name, run.model.width) == ("wide/2", 40)


def test_the_papers_sizes_need_no_table(tmp_path):
    spec = spec_of(tmp_path, TWO_SIZES.replace("[S, B]", "[XL]"))
    assert (spec.runs[0].model.width, spec.runs[0].model.depth, spec.runs[0].model.heads) == (1152, 28, 16)


@pytest.fixture
def run(tmp_path) -> RunSpec:
    return spec_of(tmp_path, TWO_SIZES).runs[0]


@pytest.mark.parametrize(
    "path",
    [
        ("seed", 1),
        ("train.steps", 80),
        ("train.optimizer.learning_rate", 2e-4),
        ("train.ema.decay", 0.5),
        ("model.block", "adaln"),
        ("evaluate.every", 10),
        ("diffusion.schedule", "cosine"),
    ],
)
def test_an_id_changes_with_whatever_can_change_a_number(run, path):
    assert changed(run, *path).id != run.id


@pytest.mark.parametrize(
    "path",
    [
        ("execution.resources", {"slice": "v3-8"}),
        ("execution.checkpoint_every", 10),
        ("execution.priority", 3),
        ("execution.flush_s", 1.0),
        ("data.path", "gs://elsewhere"),
    ],
)
def test_an_id_does_not_change_with_where_or_how_a_run_executes(run, path):
    assert changed(run, *path).id == run.id


def test_an_id_is_readable_and_survives_a_round_trip(run):
    assert run.id.startswith("s-4-")
    assert RunSpec.model_validate_json(run.model_dump_json()).id == run.id


def changed(run: RunSpec, dotted: str, value: object) -> RunSpec:
    fields = run.model_dump()
    *parents, last = dotted.split(".")
    place = fields
    for key in parents:
        place = place[key]
    place[last] = value
    return RunSpec.model_validate(fields)
