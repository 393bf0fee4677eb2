"""A run that does not fit is told with all that would: each way that the compiler was asked about."""

import json

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.orchestrator.commands import cli
from dit_grid.orchestrator.compiling import alternatives, child, kept, verdicts
from dit_grid.orchestrator.compiling.layouts import narrow_meshes
from dit_grid.orchestrator.compiling.questions import update_of
from dit_grid.orchestrator.screen import compiled as shown

SPEC = """
name: large
store: {store}
model: {{size: XL, patch: 2, image_size: 64}}
runs: [{{seed: 1}}]
data: {{name: imagenet512-latents}}
train: {{steps: 1000, batch: 256}}
evaluate: {{every: 1000}}
execution: {{resources: {{slice: v3-128}}, sharding: replicated, checkpoint_every: 1000}}
"""

VERSIONS = {"jax": "0.10.2", "jaxlib": "0.10.2", "libtpu": "0.0.52"}

FIGURES = {
    "compiler_s": 20.0, "flops": 1, "traffic_bytes": 9 << 30, "sent_bytes": 1.0, "cycles": 94_000_000,
    "between_hosts_bytes": 1, "collective_bytes": {"all-reduce": 1},
}  # fmt: skip

NEEDED_GIB = {
    "execution.sharding: host": 8.5,
    "execution.sharding: fsdp": 16.0,
    "execution.remat: block": 13.7,
    "execution: {remat: block, sharding: host}": 2.0,
    "train.accumulate: 2, which makes it another run": 15.6,
    "resources: {slice: v3-256}": 15.0,
}
"""Of a v3 core a program may use 15.48 GiB."""


@pytest.fixture
def spec(tmp_path, monkeypatch):
    """A spec whose every question has a kept answer, so that no compiler is asked."""
    monkeypatch.setenv("DIT_GRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(verdicts, "ask", lambda question: pytest.fail(f"asked about {question.said}"))
    for module in (verdicts, shown):
        monkeypatch.setattr(module, "check_compiler", lambda: VERSIONS)
    path = tmp_path / "large.yaml"
    path.write_text(SPEC.format(store=tmp_path / "store"))
    run = load_spec(path).networks[0]
    keep(run, 30.3)
    ways = {said: changed for series in alternatives._ways(run) for said, changed in series}
    for said, gib in NEEDED_GIB.items():
        keep(ways.pop(said), gib)
    assert all("tensor" in said for said in ways)  # of slices after the first that fits
    return path


def keep(run, gib):
    kind = child.FITS if gib < 15.48 else child.TOO_LARGE
    name = kept.key(update_of(run, run.execution.resources.slice), VERSIONS)
    kept.keep(name, FIGURES | {"kind": kind, "hbm_needed_bytes": int(gib * 2**30)})


def planned(spec, monkeypatch, *options):
    monkeypatch.setattr("sys.argv", ["dit-grid", "plan", str(spec), "--compile", *options])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


def test_a_run_that_does_not_fit_is_a_mistake_with_the_ways_that_fit(spec, capsys, monkeypatch):
    assert planned(spec, monkeypatch, "--json") == 2
    output, errors = capsys.readouterr()
    (row,) = json.loads(output)
    assert row["compiled"]["fits"] is False
    assert row["compiled"]["hbm_needed_bytes"] > row["compiled"]["hbm_granted_bytes"]
    said = errors.splitlines()[-1]
    assert said.startswith(f"XL/2 ({row['run_id']}) does not fit v3-128: with replicated a core needs 30.30 GiB ")
    for way, gib in NEEDED_GIB.items():
        assert (f"{way} (" in said) == (gib < 15.48)
        assert (f"{way} ({gib:.2f} GiB, 100 ms estimated)" in said) == (gib < 15.48)


def test_the_table_shows_need_grant_and_bound(spec, capsys, monkeypatch):
    text = spec.read_text().replace("sharding: replicated, ", "")
    spec.write_text(text)
    assert planned(spec, monkeypatch) == 0
    shown_row = capsys.readouterr().out.splitlines()[-2]
    assert "v3-128" in shown_row
    assert " host " in shown_row
    assert " 8.5  15.48  0.5491 " in shown_row
    assert shown_row.rstrip().endswith("memory")


def test_a_batch_smaller_than_the_slice_is_told_the_tensor_axis_that_fits(spec, capsys, monkeypatch):
    """XL has 16 heads, a v3 host 8 cores: 64 images on 128 cores go with 2 to an image, or with 4 or 8."""
    spec.write_text(spec.read_text().replace("batch: 256", "batch: 64").replace("sharding: replicated, ", ""))
    run = load_spec(spec).networks[0]
    said = {"kind": child.REFUSED, "message": "a batch of 64 images does not divide among 128 devices"}
    kept.keep(kept.key(update_of(run, "v3-128"), VERSIONS), said)
    ways = [dict(series) for series in alternatives._ways(run)]
    together = "execution: {mesh: {fsdp: 4, tensor: 2}}"
    assert next(iter(ways[0])) == together
    assert ways[0][together].execution.mesh.tensor == 2
    keep(ways[0].pop(together), 16.0)
    keep(ways[0].pop("execution: {mesh: {fsdp: 2, tensor: 4}}"), 9.0)
    keep(ways[1]["execution: {resources: {slice: v3-256}, mesh: {fsdp: 2, tensor: 4}}"], 8.0)
    assert planned(spec, monkeypatch) == 2
    output, errors = capsys.readouterr()
    assert "not compiled" not in output
    line = errors.splitlines()[-1]
    assert line.startswith(
        f"XL/2 ({run.id}) on v3-128: a batch of 64 images does not divide among 128 devices; what fit"
    )
    assert line.endswith(
        "what fits, by the compiler: execution: {mesh: {fsdp: 2, tensor: 4}} (9.00 GiB, 100 ms estimated); execution: "
        "{resources: {slice: v3-256}, mesh: {fsdp: 2, tensor: 4}} (8.00 GiB, 100 ms estimated)"
    )


def test_a_larger_slice_than_the_batch_has_images_is_tried_with_a_tensor_axis(spec):
    run = load_spec(spec).networks[0]
    larger = [said for said, _ in alternatives._on_larger(run)]
    assert larger[0] == "resources: {slice: v3-256}"
    assert larger[1] == "execution: {resources: {slice: v3-512}, mesh: {fsdp: 4, tensor: 2}}"
    assert "execution: {resources: {slice: v3-2048}, mesh: {fsdp: 1, tensor: 8}}" in larger


def test_neighbours_to_an_image_divide_heads_and_a_host(spec):
    spec.write_text(spec.read_text().replace("size: XL", "size: S"))  # 6 heads
    run = load_spec(spec).networks[0]
    assert [(mesh.fsdp, mesh.tensor) for mesh in narrow_meshes(run, "v3-512")] == [(4, 2)]
    assert narrow_meshes(run, "v3-1024") == []
