"""The same losses on one device, on several, and with the batch in parts; on two hosts, see test_process_group."""

import json
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.sharding import AbstractMesh, PartitionSpec

from dit_grid.experiments.data.digits import digits
from dit_grid.experiments.spec.execution import ExecutionSpec
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.training.sharding import ROWS, state_sharding
from dit_grid.experiments.training.update import Program

PROGRAM = """
import gc, json, sys
gc.disable()  # imports leave none, and a tenth of their time goes into looking for it
import jax
if len(sys.argv) > 2:
    jax.distributed.initialize(sys.argv[2], num_processes=2, process_id=int(sys.argv[3]))
from dit_grid.experiments.data.digits import digits
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.training.update import Program

def trained(spec, steps=8, kept=None):
    run = RunSpec.model_validate(spec)
    program, data, found = Program(run), digits(), []
    state = program.init()
    for step in range(steps):
        batch = data.batch(0, step, run.train.batch)
        state, losses = program.advance(state, batch.images[None], batch.labels[None])
        found.append([float(losses.loss), float(losses.grad_norm)])
    split = [leaf for leaf in jax.tree.leaves(state.params) if not leaf.sharding.is_fully_replicated]
    shares = [{str(part) for part in leaf.sharding.devices_indices_map(leaf.shape).values()} for leaf in split]
    parts = max(map(len, shares), default=1)
    if kept:
        import orbax.checkpoint as ocp
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(kept, state)
    return {"devices": jax.device_count(), "losses": found, "split": len(split), "parts": parts}

def ended(job):
    try:
        return trained(**job)
    except ValueError as error:
        return {"refused": str(error)}

print(json.dumps([ended(job) for job in json.loads(sys.argv[1])]))
"""

QUICK_COMPILE = os.environ["XLA_FLAGS"]

TOLERANCE = 1e-5
"""Relative. Sums over a batch are taken in another order, which costs a few float32 roundings (6e-8) an update."""


def run_spec(sharding="replicated", accumulate=1, **execution):
    return {
        "model": {"size": "T", "patch": 4, "image_size": 8, "channels": 1, "classes": 10, "width": 32, "depth": 1,
                  "heads": 2},
        "data": {"name": "digits"},
        "train": {"steps": 10, "batch": 16, "accumulate": accumulate, "log_every": 10,
                  "optimizer": {"learning_rate": 5e-3}},
        "evaluate": {"every": 10},
        "execution": {"checkpoint_every": 10, "sharding": sharding, **execution},
    }  # fmt: skip


def start(jobs, devices, *distributed):
    """Begin a process of so many devices that does these jobs one after the other."""
    flags = f"{QUICK_COMPILE} --xla_force_host_platform_device_count={devices}"
    command = [sys.executable, "-c", PROGRAM, json.dumps(jobs), *distributed]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def results(process):
    """What became of each of its jobs."""
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


def advanced(program, state, steps):
    """The losses of these updates on one device, and the state that they lead to."""
    assert jax.device_count() == 1
    found = []
    for step in steps:
        batch = digits().batch(0, step, 16)
        state, losses = program.advance(state, batch.images[None], batch.labels[None])
        found.append([float(losses.loss), float(losses.grad_norm)])
    return np.array(found), state


@pytest.fixture(scope="module")
def program():
    return Program(RunSpec.model_validate(run_spec()))


@pytest.fixture(scope="module")
def one_device(program):
    losses, _ = advanced(program, program.init(), range(8))
    assert losses[-1, 0] < losses[0, 0]  # it is learning, so the comparison means something
    return losses


LAYOUTS = {
    "replicated": run_spec("replicated"),
    "host": run_spec("host"),
    "fsdp": run_spec("fsdp"),
    "mesh": run_spec("auto", mesh={"fsdp": 4}),
    "tensor": run_spec("auto", mesh={"fsdp": 2, "tensor": 2}),
    "parts": run_spec("host", accumulate=2),
    "remat": run_spec("host", remat="block"),
}


@pytest.fixture(scope="module")
def eight_devices(tmp_path_factory):
    """What a process of eight devices did, by job; most of its time is its start. And where it kept a state.

    Eight are the fewest by which all three axes of a mesh have two.
    """
    kept = str(tmp_path_factory.mktemp("kept") / "state")
    jobs = {
        "replicated": {"spec": LAYOUTS["replicated"]},
        "host": {"spec": LAYOUTS["host"]},
        "tensor": {"spec": LAYOUTS["tensor"], "steps": 6, "kept": kept},
        "batch of 2": {"spec": run_spec(accumulate=8)},
        "mesh of 3": {"spec": run_spec("auto", mesh={"fsdp": 3})},
    }
    return dict(zip(jobs, results(start(list(jobs.values()), 8)), strict=True)), kept


@pytest.mark.parametrize("layout", ["replicated", "host"])
def test_several_devices_give_the_losses_of_one(one_device, eight_devices, layout):
    found = eight_devices[0][layout]
    assert found["devices"] == 8
    assert (found["split"] > 10) == (layout != "replicated")
    np.testing.assert_allclose(found["losses"], one_device, rtol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("layout", [name for name in list(LAYOUTS)[2:] if name != "tensor"])
def test_eight_devices_give_the_losses_of_one_in_every_layout(one_device, layout):
    (found,) = results(start([{"spec": LAYOUTS[layout]}], 8))
    assert (found["devices"], found["split"] > 10) == (8, True)
    np.testing.assert_allclose(found["losses"], one_device, rtol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("block", ["adaln", "cross-attention", "in-context"])
def test_eight_devices_give_the_losses_of_one_in_every_design_of_the_block(block):
    spec, over = run_spec(), LAYOUTS["tensor"]
    model = spec["model"] | {"block": block}
    program = Program(RunSpec.model_validate(spec | {"model": model}))
    one, _ = advanced(program, program.init(), range(8))
    (found,) = results(start([{"spec": over | {"model": model}}], 8))
    np.testing.assert_allclose(found["losses"], one, rtol=TOLERANCE)


@pytest.mark.slow
def test_two_hosts_that_have_one_copy_among_them_give_the_losses_of_one(one_device):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    hosts = [start([{"spec": LAYOUTS["fsdp"]}], 2, address, str(rank)) for rank in range(2)]
    for (found,) in map(results, hosts):
        assert (found["devices"], found["parts"]) == (4, 4)
        np.testing.assert_allclose(found["losses"], one_device, rtol=TOLERANCE)


def test_a_network_over_several_devices_gives_the_losses_of_one_and_goes_on_on_one(one_device, eight_devices, program):
    done, kept = eight_devices
    assert done["tensor"]["parts"] == 4
    np.testing.assert_allclose(done["tensor"]["losses"], one_device[:6], rtol=TOLERANCE)
    with ocp.StandardCheckpointer() as checkpointer:
        state = checkpointer.restore(kept, program.state_shapes())
    losses, _ = advanced(program, state, (6, 7))
    np.testing.assert_allclose(losses, one_device[6:], rtol=TOLERANCE)


@pytest.mark.parametrize(
    ("model", "asked", "said"),
    [
        ({}, 4, r"execution\.mesh\.tensor 4 does not divide the 2 heads of T/4; take 2, which divide them, or leave"),
        ({"heads": 1}, 2, r"does not divide the 1 heads of T/4; leave tensor out"),
    ],
)
def test_heads_that_do_not_divide_are_refused_in_a_line(model, asked, said):
    spec = run_spec("auto", mesh={"fsdp": 1, "tensor": asked})
    with pytest.raises(ValueError, match=said):
        RunSpec.model_validate(spec | {"model": spec["model"] | model})


def test_a_network_is_divided_by_columns_and_then_by_rows():
    """Each axis of a product is over `tensor` where heads and hidden units are, and over `fsdp` elsewhere."""
    mesh = AbstractMesh((32, 2, 4), (*ROWS, "tensor"))
    execution = ExecutionSpec.model_validate({"mesh": {"fsdp": 2, "tensor": 4}})
    xl = {
        "attn": {"qkv": {"kernel": _shape((28, 1152, 3456))}, "proj": {"kernel": _shape((28, 1152, 1152))}},
        "mlp": {"fc1": {"kernel": _shape((28, 1152, 4608)), "bias": _shape((28, 4608))},
                "fc2": {"kernel": _shape((28, 4608, 1152)), "bias": _shape((28, 1152))}},
    }  # fmt: skip
    found = jax.tree.map(lambda one: one.spec, state_sharding(mesh, {"blocks": xl}, execution))["blocks"]
    assert found["attn"]["proj"]["kernel"] == PartitionSpec(None, "tensor", "fsdp")
    assert found["attn"]["qkv"]["kernel"] == PartitionSpec(None, None, ("fsdp", "tensor"))
    assert found["mlp"]["fc1"] == {
        "kernel": PartitionSpec(None, "fsdp", "tensor"),
        "bias": PartitionSpec(None, "tensor"),
    }
    assert found["mlp"]["fc2"]["kernel"] == PartitionSpec(None, "tensor", "fsdp")


def test_a_batch_in_parts_gives_the_losses_of_the_whole(one_device, program):
    in_parts = Program(RunSpec.model_validate(run_spec(accumulate=4)))
    losses, _ = advanced(in_parts, program.init(), range(8))
    np.testing.assert_allclose(losses, one_device, rtol=TOLERANCE)


def test_what_does_not_divide_is_refused_in_a_line(eight_devices):
    done, _ = eight_devices
    assert "a batch of 2 images does not divide among 8 devices" in done["batch of 2"]["refused"]
    assert "execution.mesh {fsdp: 3} does not divide 8 devices; " in done["mesh of 3"]["refused"]
    assert not any("\n" in done[job]["refused"] for job in ("batch of 2", "mesh of 3"))


def test_the_layout_is_no_part_of_a_run_s_id_and_slices_split_the_state_by_default():
    runs = [RunSpec.model_validate(spec) for spec in LAYOUTS.values() if spec["train"]["accumulate"] == 1]
    on_slice = RunSpec.model_validate(run_spec("auto", resources={"slice": "v3-32"}))
    assert len({run.id for run in [*runs, on_slice]}) == 1
    assert on_slice.execution.layout == "host"
    assert RunSpec.model_validate(run_spec("auto")).execution.layout == "replicated"
    with pytest.raises(ValueError, match="sharding fsdp and a mesh"):
        RunSpec.model_validate(run_spec("fsdp", mesh={"fsdp": 2}))


def test_large_arrays_are_split_over_a_host_along_their_longest_axis_and_layers_never():
    """All of Table 1's matrices divide by the eight cores of a host."""
    mesh = AbstractMesh((32, 8), ROWS)
    xl = {
        "qkv": (28, 1152, 3456),
        "fc2": (28, 4608, 1152),
        "labels": (1001, 1152),
        "bias": (28, 3456),
        "out": (1152,),
        "step": (),
    }
    specs = {
        name: state_sharding(mesh, _shape(shape), ExecutionSpec(sharding="host")).spec for name, shape in xl.items()
    }
    assert specs == {
        "qkv": PartitionSpec(None, None, ("fsdp",)),
        "fc2": PartitionSpec(None, ("fsdp",)),
        "labels": PartitionSpec(None, ("fsdp",)),
        "bias": PartitionSpec(None, ("fsdp",)),
        "out": PartitionSpec(),
        "step": PartitionSpec(),
    }


def test_one_copy_for_all_hosts_splits_what_does_not_divide_along_two_axes():
    mesh, execution = AbstractMesh((32, 8), ROWS), ExecutionSpec(sharding="fsdp")
    assert state_sharding(mesh, _shape((28, 1152, 3456)), execution).spec == PartitionSpec(None, ("data",), ("fsdp",))
    assert state_sharding(mesh, _shape((28, 1152, 4608)), execution).spec == PartitionSpec(None, None, ROWS)


def _shape(shape):
    return jax.ShapeDtypeStruct(shape, np.float32)
