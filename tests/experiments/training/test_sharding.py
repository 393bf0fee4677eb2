"""The same losses on one device, on several, on two hosts, and with the batch in parts."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import json, os, sys
import jax
if len(sys.argv) > 2:
    jax.distributed.initialize(sys.argv[2], num_processes=2, process_id=int(sys.argv[3]))
import numpy as np
from dit_grid.experiments.data.digits import digits
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.training.update import Program

run = RunSpec.model_validate_json(sys.argv[1])
program, data, found = Program(run), digits(), []
state = program.init()
for step in range(8):
    batch = data.batch(0, step, run.train.batch)
    state, losses = program.advance(state, batch.images[None], batch.labels[None])
    found.append([float(losses.loss), float(losses.grad_norm)])
split = [leaf for leaf in jax.tree.leaves(state.params) if not leaf.sharding.is_fully_replicated]
print(json.dumps({"devices": jax.device_count(), "losses": found, "split": len(split)}))
"""

QUICK_COMPILE = os.environ["XLA_FLAGS"]

TOLERANCE = 1e-5
"""Relative. Sums over a batch are taken in another order, which costs a few float32 roundings (6e-8) an update."""


def run_spec(sharding="replicated", accumulate=1):
    return {
        "model": {"size": "T", "patch": 4, "image_size": 8, "channels": 1, "classes": 10, "width": 32, "depth": 1,
                  "heads": 2},
        "data": {"name": "digits"},
        "train": {"steps": 10, "batch": 16, "accumulate": accumulate, "log_every": 10,
                  "optimizer": {"learning_rate": 5e-3}},
        "evaluate": {"every": 10},
        "execution": {"checkpoint_every": 10, "sharding": sharding},
    }  # fmt: skip


def start(spec, devices, *distributed):
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{QUICK_COMPILE} --xla_force_host_platform_device_count={devices}",
    }
    command = [sys.executable, "-c", PROGRAM, json.dumps(spec), *distributed]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def result(process):
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


@pytest.fixture(scope="module")
def one_device():
    found = result(start(run_spec(), 1))
    losses = np.array(found["losses"])
    assert found["devices"] == 1
    assert losses[-1, 0] < losses[0, 0]  # it is learning, so the comparison means something
    return losses


@pytest.mark.parametrize(
    ("devices", "sharding"), [(2, "replicated"), pytest.param(8, "fsdp", marks=pytest.mark.slow)]
)  # two hosts below share their parameters out too
def test_several_devices_give_the_losses_of_one(one_device, devices, sharding):
    found = result(start(run_spec(sharding), devices))
    assert found["devices"] == devices
    assert (found["split"] > 10) == (sharding == "fsdp")
    np.testing.assert_allclose(found["losses"], one_device, rtol=TOLERANCE)


def test_two_hosts_give_the_losses_of_one(one_device):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    hosts = [start(run_spec("fsdp"), 2, address, str(rank)) for rank in range(2)]
    for found in map(result, hosts):
        assert found["devices"] == 4
        np.testing.assert_allclose(found["losses"], one_device, rtol=TOLERANCE)


def test_a_batch_in_parts_gives_the_losses_of_the_whole(one_device):
    np.testing.assert_allclose(result(start(run_spec(accumulate=4), 1))["losses"], one_device, rtol=TOLERANCE)


def test_a_batch_that_does_not_divide_is_refused_in_a_line():
    process = start(run_spec(accumulate=4), 8)
    _, errors = process.communicate(timeout=120)
    assert "a batch of 4 images does not divide among 8 devices" in errors.splitlines()[-1]
