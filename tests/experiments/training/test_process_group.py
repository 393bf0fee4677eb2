"""One run on two processes of two devices: the numbers of one, one stop and one end for both, resumed by one alone."""

import json
import os
import socket
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from dit_grid.experiments.running.training_run import train
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.store import Store
from dit_grid.experiments.training.context import Context

RUN: dict[str, Any] = {
    "model": {"size": "T", "patch": 4, "image_size": 8, "channels": 1, "classes": 10, "width": 16, "depth": 1,
              "heads": 2},
    "data": {"name": "digits"},
    "train": {"steps": 20, "batch": 16, "log_every": 5, "optimizer": {"learning_rate": 2e-3}},
    "evaluate": {"every": 10, "settings": [
        {"metrics": ["accuracy"], "samples": 35, "sampler": "ddim", "steps": 4, "guidance": 1.5},
        {"metrics": ["heldout_loss"], "samples": 25, "weights": "raw"},
    ]},
    "execution": {"checkpoint_every": 5, "steps_per_call": 5},
}  # fmt: skip

SPLIT = RUN | {"execution": {**RUN["execution"], "sharding": "host"}}
"""The same as slices of TPUs run it: each host has a copy, split over its devices."""

TOLERANCE = 1e-4
"""Relative. Sums over a batch and over gradients are taken in another order, through 20 updates."""

PROGRAM = """
import gc, json, sys
gc.disable()  # imports leave none, and a tenth of their time goes into looking for it
import jax
root, address, rank = sys.argv[1], sys.argv[2], int(sys.argv[3])
jax.distributed.initialize(address, num_processes=2, process_id=rank)
import numpy as np
from dit_grid.experiments.training.context import Context
from dit_grid.experiments.data.dataset import Batch
from dit_grid.experiments.data.digits import digits
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.store import Store
from dit_grid.experiments.training.kept_programs import program_of
from dit_grid.orchestrator.backends.contract import attempt

whole = RunSpec.model_validate_json(sys.argv[4])
bare = whole.model_copy(update={"evaluate": whole.evaluate.model_copy(update={"settings": ()})})
honest, asked, ends = digits().batch, [], []

def unreadable(seed, step, size):
    if rank == 1 and step == 7:
        raise OSError("the disk of process 1 is gone")
    return honest(seed, step, size)

def broken(seed, step, size):
    images, labels = honest(seed, step, size)
    return Batch(images * np.nan, labels) if rank == 1 and step == 7 else Batch(images, labels)

def stop():
    asked.append(rank)
    return rank == 1 and len(asked) == 2

def execute(name, run, batch=honest, **context):
    digits().batch = batch
    seen = []
    ended = attempt(run, Context(Store.open(f"{root}/{name}"), report=seen.append, **context))
    ends.append([ended.outcome, ended.step, ended.message, len(seen)])

def parts(run):
    # into how many parts the array that is split most is
    def of(leaf):
        return len(set(map(str, leaf.sharding.devices_indices_map(leaf.shape).values())))
    return max(map(of, jax.tree.leaves(program_of(run).state_shapes().params)))

execute("whole", whole)
execute("stopped", whole, stop_requested=stop)
execute("unreadable", bare, unreadable)
execute("broken", bare, broken)
ends.append([jax.device_count(), parts(whole)])
print(json.dumps(ends), flush=True)
"""


@pytest.fixture(scope="module")
def gang(tmp_path_factory):
    """What became of four runs on two processes of two devices each: the stores' folder, and each process's view."""
    root = tmp_path_factory.mktemp("gang")
    for name in ("whole", "stopped", "unreadable", "broken"):
        Store.create(str(root / name))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(root), address, str(rank), json.dumps(SPLIT)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"XLA_FLAGS": flags},
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        outputs = [process.communicate(timeout=600) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, errors
    return root, [json.loads(output.splitlines()[-1]) for output, _ in outputs]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    store = Store.create(str(tmp_path_factory.mktemp("alone") / "store"))
    train(RunSpec.model_validate(RUN), Context(store))
    return store


def numbers(store):
    train_rows = store.train().select(["step", "loss", "vb", "grad_norm", "param_norm", "loss_t1"]).to_pylist()
    evals = store.evals().select(["step", "value"]).to_pylist()
    names = store.evals().select(["metric", "protocol"]).to_pylist()
    return [list(row.values()) for row in train_rows], [list(row.values()) for row in evals], names


def assert_same_numbers(found, expected):
    for ours, theirs in zip(numbers(found)[:2], numbers(expected)[:2], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=TOLERANCE)
    assert numbers(found)[2] == numbers(expected)[2]


def test_two_processes_give_the_rows_of_one(gang, alone):
    root, views = gang
    store = Store.open(str(root / "whole"))
    assert_same_numbers(store, alone)
    ours, theirs = (of.train().sort_by("step")["loss"].to_pylist()[:2] for of in (store, alone))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)  # over ten updates rounding has not grown yet
    assert [view[0][:3] for view in views] == [["done", 20, ""]] * 2
    record = store.attempts(RunSpec.model_validate(RUN).id)
    assert [(r.attempt.number, r.start["processes"], r.outcome) for r in record] == [(1, 2, "done")]
    assert views[0][0][3] > 0
    assert views[1][0][3] == 0  # one of them tells
    assert [view[4] for view in views] == [[4, 2]] * 2  # the network in halves within each host


def test_a_stop_asked_of_one_process_stops_both_and_one_process_can_go_on(gang, alone):
    root, views = gang
    assert [view[1][:2] for view in views] == [["interrupted", 10]] * 2
    store = Store.open(str(root / "stopped"))
    outcome = train(RunSpec.model_validate(RUN), Context(store))
    assert (outcome.kind, outcome.step, outcome.attempt) == ("done", 20, 2)
    assert_same_numbers(store, alone)


def test_data_that_one_process_cannot_read_end_both_and_the_cause_is_kept(gang):
    root, views = gang
    assert [view[2][0] for view in views] == ["storage", "storage"]
    assert "process 1 of 2 failed: OSError: the disk of process 1 is gone" in views[0][2][2]
    store = Store.open(str(root / "unreadable"))
    (record,) = store.attempts(store.train()["run_id"][0].as_py())
    end = record.end or {}
    assert (record.outcome, end["class"]) == ("failed", "storage")
    assert end["message"] == "OSError: the disk of process 1 is gone"
    assert store.train()["step"].to_pylist() == [5]  # the window of the failure is not kept


def test_a_loss_that_is_not_finite_ends_both(gang):
    root, views = gang
    assert [view[3][0] for view in views] == ["nan", "nan"]
    store = Store.open(str(root / "broken"))
    (record,) = store.attempts(store.train()["run_id"][0].as_py())
    assert "not finite between steps 6 and 10" in (record.end or {})["message"]
