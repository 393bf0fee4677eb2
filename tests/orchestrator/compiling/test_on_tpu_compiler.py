"""What the TPU compiler itself says: the table of slices and memory, and the targets of the layouts.

Needs the wheel and no TPU: `uv sync --extra tpu`, then `pytest -m tpu -n 0`.
"""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.spec.execution import SAMPLE_BATCH, ResourceSpec
from dit_grid.experiments.spec.slices import SIZES
from dit_grid.model import accounting
from dit_grid.orchestrator.compiling import child
from dit_grid.orchestrator.compiling.compiler import CompilerError, ask, check_compiler
from dit_grid.orchestrator.compiling.generations import GENERATIONS, GIB, generation_of, topology_of
from dit_grid.orchestrator.compiling.inline import held_inline
from dit_grid.orchestrator.compiling.known_rooflines import program_of, shipped
from dit_grid.orchestrator.compiling.questions import SAMPLE, evaluation_of, update_of
from dit_grid.orchestrator.compiling.verdicts import RefusedError, judge

pytestmark = [
    pytest.mark.tpu,
    pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="the TPU compiler is not installed"),
]

GRID = Path(__file__).parents[3] / "experiments" / "grid.yaml"

SMALLEST = ("v2-8", "v3-8", "v4-8", "v5e-1", "v5p-8", "v6e-1", "tpu7x-8")

TOPOLOGIES = """
import collections, json, sys
from dit_grid.orchestrator.compiling.child import topology_devices
for line in sys.stdin:
    devices = topology_devices(json.loads(line))
    print(len(devices), len({device.process_index for device in devices}))
"""

TOO_MUCH = """
import json, sys
import jax, jax.numpy as jnp
from jax.sharding import SingleDeviceSharding
from dit_grid.orchestrator.compiling.child import _too_large, topology_devices
for line in sys.stdin:
    device = SingleDeviceSharding(topology_devices(json.loads(line))[0])
    array = jax.ShapeDtypeStruct((1 << 15, 1 << 21), jnp.float32, sharding=device)  # 256 GiB
    try:
        jax.jit(lambda x: x + 1).lower(array).compile()
    except Exception as error:
        print(json.dumps(_too_large(str(error), 0)))
"""


def asked_of(program, slices):
    lines = [{"topology": one.name, "host": one.host, "config": one.config} for one in map(topology_of, slices)]
    done = subprocess.run(
        [sys.executable, "-c", program], input="\n".join(map(json.dumps, lines)), capture_output=True, text=True,
        timeout=600, env={key: value for key, value in os.environ.items() if key != "XLA_FLAGS"} | child.ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def grid_run(model, groups=(), **execution):
    run = [run for run in load_spec(GRID, groups).runs if run.model.name == model][-1]
    return run.model_copy(update={"execution": run.execution.model_copy(update=execution)})


def test_every_slice_has_the_devices_and_hosts_of_the_table():
    slices = [f"{generation}-{size}" for generation, sizes in SIZES.items() for size in sizes if size <= 2048]
    found = [tuple(map(int, line.split())) for line in asked_of(TOPOLOGIES, slices)]
    assert dict(zip(slices, found, strict=True)) == {
        name: (topology_of(name).devices, topology_of(name).hosts) for name in slices
    }


def test_a_program_may_use_the_memory_of_the_table():
    found = [json.loads(line)["hbm_granted_bytes"] / GIB for line in asked_of(TOO_MUCH, SMALLEST)]
    assert dict(zip(SMALLEST, found, strict=True)) == pytest.approx(
        {name: generation_of(name).granted_gib for name in SMALLEST}, abs=0.006  # the compiler prints two digits
    )  # fmt: skip
    assert len(SMALLEST) == len(GENERATIONS)


def test_the_smallest_network_on_the_smallest_slice():
    run = grid_run("S/8", resources=grid_run("S/8").execution.resources.model_copy(update={"slice": "v3-8"}))
    answer = ask(update_of(run, "v3-8"))
    assert answer["kind"] == child.FITS
    model = accounting.FLOPS_PER_MAC * accounting.training_macs(run.network, run.train.batch, 1) / 8
    assert answer["flops"] == pytest.approx(model, rel=0.005)  # the first layer's input gradient is not needed
    assert answer["between_hosts_bytes"] == 0
    params = 4 * accounting.trainable_params(run.network)
    assert answer["argument_bytes"] == pytest.approx(4 * params / 8, rel=0.05)  # images; tiles; 1-D arrays stay whole


def test_what_runs_on_sparse_cores_is_counted_by_the_same_program_without_them():
    """As it is compiled for tpu7x jaxlib cannot read it; its arithmetic is the model's, and it sends what v3 sends."""
    run = grid_run("S/8", resources=ResourceSpec(slice="tpu7x-8"))
    answer = ask(update_of(run, "tpu7x-8"))
    assert answer["kind"] == child.FITS
    model = accounting.FLOPS_PER_MAC * accounting.training_macs(run.network, run.train.batch, 1) / 8
    assert answer["flops"] == pytest.approx(model, rel=0.02)
    assert sum(answer["collective_bytes"].values()) > 4 * accounting.trainable_params(run.network)


def test_the_smallest_networks_sampler_on_the_smallest_slice():
    """Its loop is counted as often as the setting says: FLOPs are those of the model's arithmetic."""
    resources = ResourceSpec(slice="v3-8")
    run = grid_run("S/8", resources=resources)
    sampler = next(one for one in evaluation_of(run) if one.program == SAMPLE)
    answer = ask(sampler)
    assert answer["kind"] == child.FITS
    steps = sampler.what["setting"]["steps"]
    assert answer["flops"] == pytest.approx(steps * answer["a_step"]["flops"], rel=0.001)
    macs = accounting.sampling_macs(run.network, steps) * SAMPLE_BATCH
    assert answer["flops"] == pytest.approx(accounting.FLOPS_PER_MAC * macs, rel=0.01)
    assert answer["stays_bytes"] == pytest.approx(4 * 4 * accounting.trainable_params(run.network) / 8, rel=0.05)


def test_xl_2_with_its_sampler_takes_less_than_three_quarters_of_a_core():
    run = grid_run("XL/2")
    sampler = next(one for one in evaluation_of(run) if one.program == SAMPLE)
    answers = [ask(sampler)]
    (held,) = held_inline([sampler], answers).programs
    assert held <= 0.75 * generation_of("v3-256").granted_bytes


def test_xl_2_on_its_slice_meets_the_targets():
    found = judge(grid_run("XL/2"), check_compiler())
    assert found.fits
    assert found.hbm_needed_bytes <= 4.0 * GIB
    assert found.estimated_s is not None
    assert found.estimated_s <= 0.060
    assert found.between_hosts_bytes is not None
    assert found.between_hosts_bytes <= 0.5 * GIB
    assert found.flops == pytest.approx(found.model_flops, rel=0.025)


@pytest.mark.parametrize("row", shipped().rows, ids=lambda row: f"{row.model.name}-{row.model.block}-{row.slice}")
def test_the_rooflines_that_are_shipped_are_what_the_compiler_says(row):
    """Within 5 %, by which versions of the compiler may differ; else `python docs/write_rooflines.py`."""
    runs = load_spec(GRID, ["blocks", "512", "long"]).networks
    run = next(run for run in runs if program_of(run) == row.program)
    found = judge(run, check_compiler())
    assert row.roofline_s == pytest.approx(found.roofline_s, rel=0.05)
    assert row.estimated_s == pytest.approx(found.estimated_s, rel=0.05)


def test_the_group_512_fits_as_it_is_shipped_and_not_replicated():
    assert judge(grid_run("XL/2", ["512"]), check_compiler()).hbm_needed_bytes < 0.75 * 15.48 * GIB
    whole = judge(grid_run("XL/2", ["512"], sharding="replicated"), check_compiler())
    assert not whole.fits
    assert whole.hbm_needed_bytes > whole.hbm_granted_bytes


def test_a_batch_that_does_not_divide_is_one_line():
    resources = grid_run("S/8").execution.resources.model_copy(update={"slice": "v3-512"})
    with pytest.raises(RefusedError, match="256 images does not divide among 512 devices"):
        judge(grid_run("S/8", resources=resources), check_compiler())


def test_a_topology_that_does_not_exist_is_one_line():
    question = update_of(grid_run("S/8"), "v3-8")
    question = replace(question, topology=question.topology._replace(name="v3:3x5"))
    with pytest.raises(CompilerError, match="knows no topology v3:3x5 for v3-8"):
        ask(question)
