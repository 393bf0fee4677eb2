"""`plan --compile --choose`: the cheapest way within a slowdown, and a spec that has it."""

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.orchestrator.commands import cli
from dit_grid.orchestrator.compiling import child, verdicts
from dit_grid.orchestrator.compiling.overridden import with_overrides
from dit_grid.orchestrator.screen import chosen as shown

SPEC = """
# the head
name: cheap
store: {store}
model: {{image_size: 32}}
grid: {{model.size: [S, XL], model.patch: [8]}}
data: {{name: imagenet256-latents}}
train: {{steps: 1000, batch: 256}}
evaluate: {{every: 1000}}
execution: {{resources: {{slice: v3-64}}, checkpoint_every: 1000}}
overrides:
  "XL/*": {{execution: {{resources: {{slice: v3-128}}, mesh: {{fsdp: 8}}}}}}
  # a comment inside
  "S/8": {{train: {{steps: 2000}}}}

# of the price
plan: {{usd_per_core_hour: 2.0}}
"""

VERSIONS = {"jax": "0.10.2", "jaxlib": "0.10.2", "libtpu": "0.0.52"}


def answer(question):
    """S/8 gains little from more cores; XL/8 goes with them, and fits its slice with recomputation alone."""
    run, devices = question.what["run"], question.topology.devices
    small = run["model"]["size"] == "S"
    layout = {"host": 1.0, "fsdp": 1.5, "replicated": 1.1}.get(run["execution"]["sharding"], 1.0)
    ms = layout * (10 + 64 / devices if small else 5000 / devices)
    fits = small or run["execution"]["remat"] == "block"
    return {
        "kind": child.FITS if fits else child.TOO_LARGE, "hbm_needed_bytes": (1 if fits else 20) << 30,
        "compiler_s": 1.0, "flops": 1, "traffic_bytes": 1, "sent_bytes": 1.0, "cycles": int(ms * 940_000),
        "between_hosts_bytes": 1, "collective_bytes": {}, "argument_bytes": 1, "stays_bytes": 1, "comes_bytes": 0,
    }  # fmt: skip


@pytest.fixture
def spec(tmp_path, monkeypatch):
    monkeypatch.setenv("DIT_GRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(verdicts, "ask", answer)
    monkeypatch.setattr(shown, "check_compiler", lambda: VERSIONS)
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC.format(store=tmp_path / "store"))
    return path


def ended(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["dit-grid", "plan", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return left.value.code


def executions(path):
    return {
        run.model.name: (run.execution.resources.slice, run.execution.layout, run.execution.remat, run.train.steps)
        for run in load_spec(path).networks
    }


def test_the_cheapest_within_the_slowdown_is_written_as_a_spec(spec, tmp_path, monkeypatch, capsys):
    output = tmp_path / "cheaper.yaml"
    assert ended(monkeypatch, spec, "--compile", "--choose", "-o", output) == 0
    printed = capsys.readouterr().out
    assert executions(output) == {  # S/8: 11 ms on 64 cores, 12 on 32 and 18 on 8, of which 13.2 are allowed
        "S/8": ("v3-32", "host", "none", 2000),
        "XL/8": ("v3-128", "host", "block", 1000),
    }
    assert load_spec(output).networks[1].execution.mesh is None
    text = output.read_text()
    assert text.startswith("\n# the head\n")
    assert "\n# of the price\n" in text
    assert "does not fit" in printed  # XL/8 as it is
    usd = 2.0 * 32 * 12 / 3600
    assert f"{usd:.4f}"[:5] in printed
    assert not list(tmp_path.glob("*.unfinished"))


def test_a_larger_slowdown_goes_to_a_smaller_slice(spec, tmp_path, monkeypatch, capsys):
    output = tmp_path / "cheaper.yaml"
    assert ended(monkeypatch, spec, "--compile", "--choose", "--slowdown", "2", "-o", output, "--json") == 0
    assert executions(output)["S/8"][0] == "v3-8"
    assert executions(output)["XL/8"][0] == "v3-64"  # twice as slow at half the price an hour: the smaller of two alike


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--choose"], "give --compile with it"), (["--compile", "--slowdown", "2"], "--slowdown 2.0 without --choose")],
)
def test_options_without_the_one_that_they_belong_to_are_one_line(spec, monkeypatch, capsys, options, said):
    assert ended(monkeypatch, spec, *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


PRICES = {
    "listed": "- {of: v3, usd_per_chip_hour: 2.0, date: 2026-01-01, source: us}",
    "of its own slices alone": "- {of: v3-64, usd_per_hour: 64, date: 2026-01-01, source: us}\n"
    "- {of: v3-128, usd_per_hour: 128, date: 2026-01-01, source: us}",
    "of one of its slices": "- {of: v3-64, usd_per_hour: 64, date: 2026-01-01, source: us}",
}


@pytest.mark.parametrize(
    ("prices", "unit", "slices"),
    [
        ("listed", "USD", ["v3-32", "v3-128"]),
        ("of its own slices alone", "USD", ["v3-64", "v3-128"]),
        ("of one of its slices", "core-h", ["v3-32", "v3-128"]),
    ],
)
def test_prices_of_a_list_are_compared_in_one_unit(spec, tmp_path, monkeypatch, capsys, prices, unit, slices):
    (tmp_path / "prices.yaml").write_text(f"rows:\n{PRICES[prices]}\n")
    spec.write_text(spec.read_text().replace("usd_per_core_hour: 2.0", "prices: prices.yaml"))
    output = tmp_path / "cheap.yaml"
    assert ended(monkeypatch, spec, "--compile", "--choose", "--slowdown", "1.2", "-o", output) == 0
    assert f"{unit} of 1,000 updates" in capsys.readouterr().out
    assert [run.execution.resources.slice for run in load_spec(output).networks] == slices


def test_overrides_are_added_where_a_spec_has_none_and_at_its_end():
    assert with_overrides("name: x\ngroups: {}", {"S/8": {"seed": 1}}) == (
        "name: x\ngroups: {}\n\noverrides:\n  S/8: {seed: 1}\n"
    )
    assert with_overrides('overrides: {"*": {seed: 2}}\nname: x\n', {"S/8": {"seed": 1}}) == (
        "overrides:\n  '*': {seed: 2}\n  S/8: {seed: 1}\nname: x\n"
    )


def test_a_batch_smaller_than_the_slice_is_chosen_a_tensor_axis(spec, tmp_path, monkeypatch):
    """64 images on 128 cores: XL/8 goes with two or more cores to an image, and is written so."""
    spec.write_text(spec.read_text().replace("batch: 256", "batch: 64"))
    output = tmp_path / "narrow.yaml"
    assert ended(monkeypatch, spec, "--compile", "--choose", "--slowdown", "1", "-o", output) == 0
    mesh = load_spec(output).networks[1].execution.mesh
    assert (load_spec(output).networks[1].execution.resources.slice, mesh.fsdp, mesh.tensor) == ("v3-128", 4, 2)
