"""A run on a slice must fit with its evaluation: what a core holds, what is refused, and what `launch` asks."""

import json
from dataclasses import replace

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.orchestrator.commands import cli
from dit_grid.orchestrator.compiling import child, kept, verdicts
from dit_grid.orchestrator.compiling.costs import loop_costs
from dit_grid.orchestrator.compiling.generations import host_of
from dit_grid.orchestrator.compiling.hlo import read_module
from dit_grid.orchestrator.compiling.questions import (
    COMPILED_STEPS,
    DECODE,
    FEATURES,
    SAMPLE,
    UPDATE,
    evaluation_of,
    update_of,
)
from dit_grid.orchestrator.compiling.verdicts import judge, with_evaluation
from dit_grid.orchestrator.driving import who_drives
from dit_grid.orchestrator.screen import compiled as shown

GIB = 1 << 30

VERSIONS = {"jax": "0.10.2", "jaxlib": "0.10.2", "libtpu": "0.0.52"}

SPEC = """
name: measured
store: {store}
model: {{size: S, patch: 8, image_size: 32}}
runs: [{{seed: 1}}]
data: {{name: imagenet256-latents}}
train: {{steps: 1000, batch: 256}}
evaluate:
  every: 1000
  files: {{vae: vae.safetensors, inception: inception.pth, imagenet: imagenet.npz}}
  settings:
    - {{metrics: [fid], samples: 50_000, decoder: vae, features: inception, reference: imagenet}}
    - {{metrics: [fid], samples: 50_000, steps: 16, decoder: vae, features: inception, reference: imagenet}}
    - {{metrics: [fid], samples: 160, guidance: 1.5, decoder: vae, features: inception, reference: imagenet}}
    - {{metrics: [heldout_loss]}}
execution: {{resources: {{slice: v3-32}}, checkpoint_every: 1000{execution}}}
"""

DIGITS = """
name: digits-on-a-slice
store: {store}
model: {{size: S, patch: 2, image_size: 8, channels: 1, classes: 10}}
runs: [{{seed: 1}}]
data: {{name: digits}}
train: {{steps: 100, batch: 256}}
evaluate: {{every: 100, settings: [{{metrics: [fd_conv], samples: 100, steps: 10}}]}}
execution: {{resources: {{slice: v3-32}}, checkpoint_every: 100}}
"""

PER_STEP = {"cycles": 1_000, "flops": 10, "traffic_bytes": 20, "sent_bytes": 2, "between_hosts_bytes": 1}


def answer(question):
    """What the compiler would say: a state of 1 GiB, of which the sampler takes a half, and 1/64 GiB an image."""
    stays, needs, comes = {
        UPDATE: (GIB, 3 * GIB, 0),
        SAMPLE: (GIB, GIB // 2, 8),
        DECODE: (GIB // 4, 6 * GIB, 64),
        FEATURES: (GIB // 8, GIB, 32),
    }[question.program]
    taken = GIB // 2 if question.program == SAMPLE else stays
    if question.program == SAMPLE:
        needs += question.what["setting"]["samples"] // question.topology.devices * (GIB // 64)
    counted = {name: (COMPILED_STEPS + 3) * value for name, value in PER_STEP.items()}
    return {
        "kind": child.FITS, "hbm_needed_bytes": needs, "argument_bytes": taken + comes, "stays_bytes": stays,
        "comes_bytes": comes, "compiler_s": 7.5,
        "a_step": PER_STEP | {"collective_bytes": {"all-gather": 4}}, "collective_bytes": {"all-gather": 400},
        **counted,
    }  # fmt: skip


@pytest.fixture
def spec(tmp_path, monkeypatch):
    monkeypatch.setenv("DIT_GRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(verdicts, "ask", answer)
    for module in (verdicts, shown):
        monkeypatch.setattr(module, "check_compiler", lambda: VERSIONS)
    monkeypatch.setattr(shown, "is_installed", lambda: True)

    def write(text=SPEC, execution=""):
        path = tmp_path / "spec.yaml"
        path.write_text(text.format(store=tmp_path / "store", execution=execution))
        return path

    return write


def left_with(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["dit-grid", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


def test_each_program_is_asked_about_once_and_image_networks_for_a_host_alone(spec):
    (run,) = load_spec(spec()).networks
    asked = evaluation_of(run)
    assert [(one.program, one.topology.name, one.steps) for one in asked] == [
        (SAMPLE, "v3:4x4", 250), (DECODE, "v3:2x2", COMPILED_STEPS), (FEATURES, "v3:2x2", COMPILED_STEPS),
        (SAMPLE, "v3:4x4", 16), (SAMPLE, "v3:4x4", 250),
    ]  # fmt: skip
    assert [one.what["setting"]["samples"] for one in asked if one.program == SAMPLE] == [128 * 32, 128 * 32, 160]
    whole, short, guided = (kept.key(one, VERSIONS) for one in asked if one.program == SAMPLE)
    assert whole == short  # the number of steps is counted and not compiled
    assert guided != whole
    other = run.model_copy(update={"execution": run.execution.model_copy(update={"sharding": "replicated"})})
    assert [kept.key(a, VERSIONS) == kept.key(b, VERSIONS) for a, b in zip(asked, evaluation_of(other), strict=True)] \
        == [False, True, True, False, False]  # fmt: skip
    assert [host_of(name).name for name in ("v3-8", "v4-8", "v5p-128", "v6e-8")] == \
        ["v3:2x2", "v4:2x2x1", "v5p:2x2x1", "v6e:2x4"]  # fmt: skip


def test_what_decides_is_all_that_a_core_holds_at_once(spec):
    (run,) = load_spec(spec()).networks
    found = with_evaluation(run, judge(run, VERSIONS), VERSIONS)
    sample, decode, *_ = found.programs
    networks = GIB // 4 + GIB // 8
    assert sample.held_bytes == GIB + networks + 128 * (GIB // 64) + 0  # its network is of the state
    assert decode.held_bytes == GIB + networks + 6 * GIB - GIB // 4
    assert found.inline_bytes == decode.held_bytes
    assert found.evaluation_fits
    clock = 940e6
    assert sample.estimated_s == pytest.approx((COMPILED_STEPS + 3 + 250 - COMPILED_STEPS) * 1_000 / clock)
    assert sample.collective_bytes == {"all-gather": 400 + (250 - COMPILED_STEPS) * 4}
    assert found.programs[3].flops == (COMPILED_STEPS + 3 + 16 - COMPILED_STEPS) * 10


def test_a_run_that_trains_and_cannot_be_measured_is_refused_with_what_fits(spec, monkeypatch, capsys):
    monkeypatch.setattr(
        verdicts,
        "ask",
        lambda question: (
            answer(question)
            | ({"hbm_needed_bytes": 7 * answer(question)["hbm_needed_bytes"]} if question.program == SAMPLE else {})
        ),
    )
    path = spec()
    assert left_with(monkeypatch, "plan", path, "--compile", "--json") == 2
    output, errors = capsys.readouterr()
    (row,) = json.loads(output)
    assert row["compiled"]["fits"]
    assert not row["compiled"]["evaluation_fits"]
    assert [one["program"] for one in row["compiled"]["programs"]] == [SAMPLE, DECODE, FEATURES, SAMPLE, SAMPLE]
    said = errors.splitlines()[-1]
    assert said.startswith(f"S/8 ({row['run_id']}) trains on v3-32 but does not fit v3-32 with its evaluation: with ")
    assert "may hold 15.48" in said
    assert "execution.sample_batch: 64 (" in said
    assert "evaluate_on" not in said  # a job of its own holds the state as well
    (run,) = load_spec(spec(execution=", sample_batch: 64")).networks
    assert with_evaluation(run, judge(run, VERSIONS), VERSIONS).evaluation_fits


def test_networks_that_fit_only_without_the_training_step_are_a_case_for_evaluate_on(spec, monkeypatch, capsys):
    monkeypatch.setattr(
        verdicts,
        "ask",
        lambda question: (
            answer(question) | ({"hbm_needed_bytes": int(15.4 * GIB)} if question.program == UPDATE else {})
        ),
    )
    assert left_with(monkeypatch, "plan", spec(), "--compile") == 2
    assert "what fits, by the compiler: execution.evaluate_on: {slice: v3-32} (" in capsys.readouterr().err


def test_a_launch_is_refused_before_anything_is_reserved(spec, tmp_path, monkeypatch, capsys):
    path = spec(DIGITS)
    (run,) = load_spec(path).networks
    monkeypatch.setattr(verdicts, "ask", lambda question: answer(question) | {"kind": child.TOO_LARGE})
    monkeypatch.setattr(who_drives, "launch_here", lambda *_: pytest.fail("launched"))
    monkeypatch.setattr(who_drives, "launch_on_cluster", lambda *_: pytest.fail("launched"))
    assert left_with(monkeypatch, "plan", path, "--compile") == 2
    planned = capsys.readouterr().err.splitlines()[-1]
    for options in ([], ["--address", "auto"]):
        assert left_with(monkeypatch, "launch", path, *options) == 2
        assert capsys.readouterr().err.splitlines()[-1] == planned
    assert planned.startswith(f"S/2 ({run.id}) does not fit v3-32: ")
    assert not (tmp_path / "store").exists()
    with pytest.raises(pytest.fail.Exception, match="launched"):
        left_with(monkeypatch, "launch", path, "--no-compile")


def test_without_the_compiler_a_launch_says_that_nobody_looked(spec, monkeypatch, capsys):
    monkeypatch.setattr(shown, "is_installed", lambda: False)
    monkeypatch.setattr(who_drives, "launch_here", lambda *_: pytest.skip("launched, as it should"))
    with pytest.raises(pytest.skip.Exception):
        left_with(monkeypatch, "launch", spec(DIGITS))
    (said,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("not checked"))
    assert said.startswith("not checked whether the run fits its TPU slice: ")
    assert "uv pip install 'dit-grid[tpu]'" in said


LOOP = """
%body (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %p = (s32[], f32[8]) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %x = f32[8] get-tuple-element(%p), index=1
  %y = f32[8] negate(%x), backend_config={"estimated_cycles":"5"}
  ROOT %t = (s32[], f32[8]) tuple(%i, %y)
}

%condition (q: (s32[], f32[8])) -> pred[] {
  %q = (s32[], f32[8]) parameter(0)
  %j = s32[] get-tuple-element(%q), index=0
  %n = s32[] constant(TRIPS)
  ROOT %less = pred[] compare(%j, %n), direction=LT
}

ENTRY %main (a: (s32[], f32[8])) -> (s32[], f32[8]) {
  %a = (s32[], f32[8]) parameter(0)
  ROOT %w = (s32[], f32[8]) while(%a), condition=%condition, body=%body
}
"""


def test_one_trip_of_the_samplers_loop_is_told_from_other_loops():
    module = read_module(LOOP.replace("TRIPS", str(COMPILED_STEPS)))
    found = loop_costs(module, [0], (COMPILED_STEPS, COMPILED_STEPS - 1))
    assert found is not None
    assert found.cycles == 5
    assert loop_costs(read_module(LOOP.replace("TRIPS", "28")), [0], (COMPILED_STEPS, COMPILED_STEPS - 1)) is None


def test_a_question_says_its_program_and_slice(spec):
    (run,) = load_spec(spec()).networks
    question = update_of(run, "v3-32")
    assert question.said == "S/8 for v3-32"
    assert kept.key(question, VERSIONS) != kept.key(replace(question, program=SAMPLE), VERSIONS)
