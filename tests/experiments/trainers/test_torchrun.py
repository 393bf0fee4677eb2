"""A trainer under torchrun: on the hosts of a gang by the command of one host, and its end as its first rank's.

What torchrun writes is of torch 2.13, cut to what tells; the tests marked `oracle` run it.
"""

import os
import signal
import socket
import sys
import threading
from importlib import util

import pytest

from dit_grid.experiments.spec.trainer import TrainerRun
from dit_grid.experiments.store import Store
from dit_grid.experiments.trainers.attempt import train
from dit_grid.experiments.trainers.ending import ending
from dit_grid.experiments.trainers.program import command, environment
from dit_grid.experiments.training.context import Context

RANKS = """
[rank3]: Traceback (most recent call last):
[rank3]:   File "train.py", line 18, in <module>
[rank3]:     raise {raised}
[rank3]: {raised}
[rank2]: Traceback (most recent call last):
[rank2]:   File "train.py", line 20, in <module>
[rank2]:     dist.all_reduce(part)
[rank2]: RuntimeError: [pair.cc:553] Connection closed by peer [127.0.0.1]:58605. Check the logs of the remote worker
"""

SUMMARY = """
W1128 08:13:56.591000 7231 torch/distributed/elastic/multiprocessing/api.py:1028] Sending process 7238 closing signal
Traceback (most recent call last):
  File "torch/distributed/launcher/api.py", line 383, in launch_agent
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
train.py FAILED
------------------------------------------------------------
Failures:
[1]:
  time      : 2026-11-28_08:13:56
  host      : localhost
  rank      : 2 (local_rank: 0)
  exitcode  : -15 (pid: 7238)  (SIGTERM)
  error_file: <N/A>
  traceback : Signal 15 (SIGTERM) received by PID 7238
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-28_08:13:56
  host      : localhost
  rank      : 3 (local_rank: 1)
  exitcode  : {status} (pid: 7239)
  error_file: <N/A>
  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
============================================================
"""

ASKED_TO_END = """
Traceback (most recent call last):
  File "torch/distributed/elastic/multiprocessing/api.py", line 88, in _terminate_process_handler
    raise SignalException(f"Process {os.getpid()} got signal: {sigval}", sigval=sigval)
torch.distributed.elastic.multiprocessing.api.SignalException: Process 7224 got signal: 15
"""


def failed(status, raised="KeyError: 'shard 7'"):
    return RANKS.format(raised=raised) + SUMMARY.format(status=status)


@pytest.mark.parametrize(
    ("errors", "kind", "message"),
    [
        (failed(1), "error", "the trainer exited with status 1: KeyError: 'shard 7'"),
        (failed(1, "torch.OutOfMemoryError: CUDA out of memory"), "out-of-memory",
         "the trainer exited with status 1: torch.OutOfMemoryError: CUDA out of memory"),
        (failed(-9), "lost", "the trainer was ended by SIGKILL; a kernel short of memory does that"),
        (failed(-11), "error", "the trainer died of SIGSEGV: KeyError: 'shard 7'"),
        (failed(75), "storage", "the trainer exited with status 75: KeyError: 'shard 7' "
         "(status 75 asks for another try)"),
        ("OSError: no such file\n" + SUMMARY.format(status=2), "error",
         "the trainer exited with status 2: OSError: no such file"),
        (SUMMARY.format(status=3), "error", "the trainer exited with status 3 and wrote no error"),
        ("Traceback (most recent call last):\nKeyError: 1\n" + SUMMARY.format(status=1), "error",
         "the trainer exited with status 1: KeyError: 1"),
        (ASKED_TO_END, "lost", "the trainer was ended by SIGTERM"),
    ],
)  # fmt: skip
def test_the_end_is_that_of_the_rank_that_failed_first(errors, kind, message):
    found = ending(1, errors)
    assert (found.failure_class, found.message) == (kind, message)


def of(gang, **resources):
    run = TrainerRun.model_validate({
        "trainer": {"command": ["t", "{rank}/{world}", "{address}:{port}", *[f"{{{kind}}}" for kind in resources]]},
        "train": {"steps": 1}, "execution": {"resources": resources},
    })  # fmt: skip
    return command(run, gang)


def test_a_command_is_told_of_its_host_and_of_where_the_gang_meets(tmp_path):
    """{gpus} are those of this host, not of all: torchrun starts as many processes on each."""
    second = Context(Store.create(str(tmp_path / "s")), rank=1, world=2, coordinator="10.0.0.7:4321")
    assert of(second, gpus=16) == ["t", "1/2", "10.0.0.7:4321", "8"]
    assert of(second, cpus=6) == ["t", "1/2", "10.0.0.7:4321", "3"]
    assert of(second, slice="v4-16") == ["t", "1/2", "10.0.0.7:4321", "v4-16"]
    assert of(Context(second.store), gpus=16) == ["t", "0/1", "127.0.0.1:29500", "16"]


def test_torchrun_is_told_of_the_other_hosts_and_left_alone_where_there_are_none(tmp_path):
    store = Store.create(str(tmp_path / "s"))
    told = environment(Context(store, rank=1, world=2, coordinator="10.0.0.7:4321"), "line")
    assert {name: value for name, value in told.items() if name.startswith("PET_")} == {
        "PET_NNODES": "2", "PET_NODE_RANK": "1", "PET_MASTER_ADDR": "10.0.0.7", "PET_MASTER_PORT": "4321",
    }  # fmt: skip
    assert not [name for name in environment(Context(store), "line") if name.startswith("PET_")]


PROGRAM = """
import os, pathlib, signal, sys, time
import torch, torch.distributed as dist
from dit_grid.experiments import current_run as run

dist.init_process_group("gloo")
rank, world = dist.get_rank(), dist.get_world_size()
assert (rank, world) == (run.rank, run.world)
state = torch.zeros(())
if run.step:
    state = torch.load(run.checkpoint_folder(run.step) / "state.pt", weights_only=True)
for step in range(run.step + 1, run.steps + 1):
    if run.step == 0 and run.config["wrong"] == f"{rank} at {step}":
        os.kill(os.getpid(), signal.SIGKILL) if run.config["kill"] else 1 / 0
    part = torch.tensor(float(step * (rank + 1)))
    dist.all_reduce(part)
    state = 0.5 * state + part / world
    time.sleep(0.0 if run.step else 0.1)  # so that a stop finds it at work
    run.log(step, loss=state.item())
    stop = torch.tensor(float(run.stop_requested))
    dist.broadcast(stop, 0)
    if step % run.checkpoint_every == 0 or stop:
        folder = run.checkpoint_folder(step)
        (folder / f"rank{rank}").write_text("")
        if rank == 0:
            torch.save(state, folder / "state.pt")
        dist.barrier()
        run.commit(step)
    if stop:
        break
dist.destroy_process_group()
"""


@pytest.fixture
def gang(tmp_path):
    """A store, and a function that trains a run of it on two hosts of two ranks each: how each host's attempt ended."""
    if util.find_spec("torch") is None:
        pytest.skip("needs torch: uv sync --group oracle")
    (tmp_path / "summed.py").write_text(PROGRAM)
    store = Store.create(str(tmp_path / "store"))

    def hosts(wrong="", kill=False, stop=lambda: False):
        run = TrainerRun.model_validate({
            "trainer": {"command": [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
                                    "summed.py"]},
            "config": {"wrong": wrong, "kill": kill}, "train": {"steps": 20}, "folder": str(tmp_path),
            "execution": {"checkpoint_every": 5},
        })  # fmt: skip
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            meet = f"127.0.0.1:{free.getsockname()[1]}"
        ends = {}

        def host(rank):
            ends[rank] = train(run, Context(store, stop_requested=stop, rank=rank, world=2, coordinator=meet))

        threads = [threading.Thread(target=host, args=(rank,)) for rank in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(240)
        return run, ends

    return store, hosts


def expected():
    """The sum that the program keeps: (1 + 2 + 3 + 4) / 4 of each step, the past halved."""
    state, found = 0.0, []
    for step in range(1, 21):
        state = 0.5 * state + 2.5 * step
        found.append((step, pytest.approx(state, rel=1e-6)))
    return found


@pytest.mark.oracle
@pytest.mark.slow
def test_four_ranks_on_two_hosts_reduce_stop_and_go_on_with_each_row_once(gang):
    store, hosts = gang
    run, ends = hosts(stop=lambda: bool(store.train().num_rows))
    assert {rank: ended.outcome for rank, ended in ends.items()} == {0: "interrupted", 1: "interrupted"}
    assert 0 < ends[0].step < 20
    run, ends = hosts()
    assert {rank: ended.outcome for rank, ended in ends.items()} == {0: "done", 1: "done"}
    rows = store.train().to_pylist()
    assert [(row["step"], row["loss"]) for row in rows] == expected()
    last = store.paths.full(f"checkpoints/{run.id}/a000002/s000000020")
    assert {*os.listdir(last)} >= {"rank0", "rank1", "rank2", "rank3", "state.pt"}


@pytest.mark.oracle
@pytest.mark.slow
def test_a_rank_of_the_second_host_that_is_killed_is_a_loss_and_one_that_raises_is_not(gang):
    store, hosts = gang
    run, ends = hosts(wrong="3 at 12", kill=True)
    assert (ends[1].outcome, ends[0].step) == ("lost", 10)
    assert signal.SIGKILL.name in ends[1].message
    assert "peer" in ends[0].message
    assert {rank: ended.outcome for rank, ended in hosts(wrong="3 at 12", kill=True)[1].items()} == {
        0: "done",
        1: "done",
    }
    rows = store.train([run.id]).to_pylist()
    assert [(row["step"], row["loss"]) for row in rows] == expected()
    ends = hosts(wrong="3 at 12")[1]
    assert ends[1].outcome == "error"
    assert ends[1].message.endswith("ZeroDivisionError: division by zero")
