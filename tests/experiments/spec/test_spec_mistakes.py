"""Every mistake in a spec is reported at once, each with its line, the value, what is allowed and the nearest name."""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from dit_grid.experiments.spec import SpecError, load_spec

GOOD = """name: test
store: results/test
grid:
  model.size: [S]
  model.patch: [4, 2]
sizes:
  S: {width: 16, depth: 1, heads: 2}
model: {image_size: 8, channels: 1, classes: 10}
data: {name: digits}
train: {steps: 40, batch: 8, log_every: 10}
evaluate: {every: 20, settings: [{metrics: [fd_conv], samples: 10, steps: 5}]}
execution: {checkpoint_every: 20}
"""


def problems(tmp_path, text):
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    return str(caught.value).replace(str(path), "spec.yaml").splitlines()


@pytest.mark.parametrize(
    ("wrong", "by", "line"),
    [
        ("batch: 8", "bach: 8", "spec.yaml:10: train.bach: unknown field (did you mean 'batch'?)"),
        ("batch: 8", "batch: -8", "spec.yaml:10: train.batch: got -8; must be greater than 0"),
        ("batch: 8", "batch: eight", "spec.yaml:10: train.batch: got 'eight'; must be a valid integer"),
        ("steps: 5}", "sampler: dim}", "(did you mean 'ddim'?); allowed: ddpm, ddim, dpmpp-2m"),
        ("model.size: [S]", "model.size: [Z]", "spec.yaml:4: model.size: got 'Z'; sizes: S"),
        ("model.patch: [4, 2]", "model.patch: [4, 3]", "image_size 8 is not a multiple of patch 3"),
        ("model.patch: [4, 2]", "model.patch: 4", "spec.yaml:5: grid.model.patch: got 4; must be a list"),
        ("heads: 2", "heads: 3", "width 16 is not a multiple of heads 3"),
        ("steps: 5}", "steps: 5000}", "evaluate.settings[0].steps 5000 is more than diffusion.timesteps 1000"),
        ("data: {name: digits}", "data: {name: digits}\ndiffusion: {timesteps: 12}", "the linear schedule needs more"),
        ("every: 20,", "every: 15,", "evaluate.every 15 is not a multiple of train.log_every 10"),
        ("store: results/test", "stor: x", "spec.yaml:2: stor: unknown section (did you mean 'store'?)"),
        ("data: {name: digits}", "data: {}", "spec.yaml:9: data.name: missing"),
        ("name: test", "name: te st", "spec.yaml:1: name: got 'te st'; must match"),
        ("checkpoint_every: 20", "resources: {slice: v3-8, cpus: 1}", "name exactly one of slice, gpus, cpus"),
        ("sizes:", 'runs: ["S/2"]\nsizes:', "spec.yaml:6: runs: got 'S/2'; must be settings"),
        ("sizes:", 'overrides: {"S/2": fast}\nsizes:', "spec.yaml:6: overrides.S/2: got 'fast'; must be settings"),
        ("model.size: [S]", "model.size: [[S, B]]", "spec.yaml:4: model.size: got ['S', 'B']; must be a valid string"),
        ("model.size: [S]", "model.size: ['..']", "spec.yaml:4: model.size: got '..'; sizes: S"),
        ("data:", 'seed: !!int ""\ndata:', "spec.yaml:9: seed: got '', which is no int"),
        ("data:", "seed: !!bool x\ndata:", "spec.yaml:9: seed: got 'x', which is no bool"),
        ("data:", "seed: !!timestamp x\ndata:", "spec.yaml:9: seed: got 'x', which is no timestamp"),
        (
            "batch: 8",
            "batch: 0x" + "f" * 5000,
            "(5,004 characters); a whole number must be at most 9223372036854775807",
        ),
        ("steps: 40", "steps: 1000000000", "spec.yaml:10: train.steps: got 1000000000; must be less than 1000000000"),
        ("steps: 40", "steps: 1.0e+23", "spec.yaml:10: train.steps: got 1e+23; "),
        (
            "samples: 10",
            "samples: 10, seed: 4294967296",
            "evaluate.settings[0].seed: got 4294967296; must be less than 2147483648",
        ),
        ("width: 16", "width: 40000000000000000001", "a whole number must be at most"),
        ("width: 16", "width: 4000000001", "sizes.S.width: got 4000000001; must be less than or equal to 1048576"),
        ("name: test", "name: '..'", "spec.yaml:1: name: got '..'; must match"),
        ("name: digits", 'name: "a\\0b"', "text must not hold NUL"),
        (
            "model.size: [S]",
            f"seed: {list(range(60_000))}\n  model.size: [S]",
            "asks for 120,000 runs; at most 100,000",
        ),
        ("every: 20,", "every: 1,", "is not a multiple of train.log_every 10"),
        ("steps: 40, batch: 8, log_every: 10", "steps: 900000000, batch: 8, log_every: 10", "more than 100,000 times"),
        ("checkpoint_every: 20", "resources: {slice: tpu}", "execution.resources.slice: got 'tpu'; a type of slice is"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path, wrong, by, line):
    assert wrong in GOOD
    found = problems(tmp_path, GOOD.replace(wrong, by))
    assert any(line in text for text in found), found


def test_all_mistakes_are_reported_at_once_and_each_once(tmp_path):
    text = GOOD.replace("batch: 8", "batch: 0, stepz: 1").replace("samples: 10", "samples: no") + "gird: {}\n"
    found = problems(tmp_path, text)
    assert len(found) == 4  # not twice for the two models of the grid
    assert [line.split(": ")[1] for line in found] == [
        "gird",
        "train.batch",
        "train.stepz",
        "evaluate.settings[0].samples",
    ]


@pytest.mark.parametrize(
    ("extra", "line"),
    [
        ('overrides: {"X/4": {seed: 1}}', "overrides.X/4: 'X/4' fits no run (did you mean 'S/4'?); runs: S/2, S/4"),
        ("exclude: [S/8]", "exclude: 'S/8' fits no run"),
        ('exclude: ["*"]', "asks for no run"),
        ("runs: [{model: {size: S, patch: 4}}]", "is asked for twice"),
        ("seed: 1\nseed: 2", "spec.yaml:14: seed: given twice, first on line 13"),
    ],
)
def test_a_pattern_or_run_that_cannot_be_meant_is_a_mistake(tmp_path, extra, line):
    assert any(line in text for text in problems(tmp_path, GOOD + extra))


def test_an_unknown_group_is_named_with_those_there_are(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(GOOD + "groups: {long: [{model: {size: S, patch: 4}, train: {steps: 80}}]}")
    with pytest.raises(SpecError, match="got 'lon' \\(did you mean 'long'\\?\\); the file has: long"):
        load_spec(path, ["lon"])
    assert len(load_spec(path, ["long"]).runs) == 3


@pytest.mark.parametrize("text", ["", "- a\n- b", "name: [", "name: 'x", "a: &a [*a]", "\x00", "? {a: b}\n: c"])
def test_what_is_no_spec_is_refused_in_a_line(tmp_path, text):
    assert all(line.startswith("spec.yaml") for line in problems(tmp_path, text))


def test_a_missing_file_is_refused_in_a_line(tmp_path):
    with pytest.raises(SpecError, match=r"absent.yaml: no such file"):
        load_spec(tmp_path / "absent.yaml")


def test_aliases_cannot_fill_the_memory(tmp_path):
    bomb = "\n".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]" for i in range(1, 30))
    assert any("alias" in line for line in problems(tmp_path, "a0: &a0 [1]\n" + bomb))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_spec_never_ends_in_a_traceback(tmp_path, data):
    """Cut out any piece, or put any text in: the file is a spec or a SpecError, nothing else."""
    start = data.draw(st.integers(0, len(GOOD)))
    end = data.draw(st.integers(start, min(start + 30, len(GOOD))))
    text = GOOD[:start] + data.draw(st.text(max_size=8)) + GOOD[end:]
    path = tmp_path / "spec.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with contextlib.suppress(SpecError):
        load_spec(path)
