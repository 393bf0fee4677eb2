"""Launching, interrupting and launching again: the same numbers, bit for bit, as a launch that nobody touched."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.model import accounting
from dit_grid.orchestrator.backends.contract import InProcess, now
from dit_grid.orchestrator.control import journal
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.core import Phase
from dit_grid.orchestrator.core.events import Asked, ClusterSeen, SliceSeen
from dit_grid.orchestrator.driving.loop import drive
from dit_grid.orchestrator.planning.work import check_placeable, record_runs, unfinished
from dit_grid.orchestrator.screen.status import _from_tables, read_status


def launched(spec_path, *arguments, **options):
    command = [sys.executable, "-m", "dit_grid.orchestrator", "launch", str(spec_path), *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, **options
    )


def wait_for(condition, seconds=400):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def checkpoints(folder):
    return sorted(Path(folder).glob("checkpoints/*/a*/s?????????"))


def processes_of(session):
    """Commands of the processes of a session, by /proc; a session is what a launch and all its workers belong to."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            if int(stat[3]) == session and stat[0] != "Z":
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


UNASKED = re.compile(r"ray/autoscaler/_private/monitor\.py|ray/_private/log_monitor\.py|ray/dashboard/dashboard\.py")
"""Services of Ray's that nobody asks on this machine: each would be a process, and a part of the time to come up."""


def workers_of(session):
    """Those of them that execute runs; agents of Ray's that touch no store outlive a launch for up to a minute."""
    return [name for name in processes_of(session) if "ray::" in name and "Agent" not in name]


@pytest.fixture(scope="module")
def untouched(miniature_spec, numbers, tmp_path_factory):
    """A launch that nobody interrupted: its spec, what it printed, and its numbers."""
    folder = tmp_path_factory.mktemp("untouched")
    spec = miniature_spec(folder)
    process = launched(spec)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return spec, output, numbers(Store.open(str(folder / "store")))


@pytest.fixture
def unkind(ray_folder, tmp_path):
    """Surroundings in which our own Ray must start as well: another's address, a long folder, no home, and so no
    programs compiled before; and what a Ray that crashed leaves."""
    (Path(ray_folder) / "ray").mkdir(exist_ok=True)
    (Path(ray_folder) / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    long = tmp_path / ("x" * 100)
    long.mkdir()
    return {"RAY_ADDRESS": "127.0.0.1:1", "TMPDIR": str(long), "HOME": "/dev/null/nobody", "XDG_CACHE_HOME": ""}


def test_a_launch_trains_evaluates_and_ends_with_the_law_and_figures(untouched):
    spec, output, found = untouched
    runs = load_spec(spec).runs
    assert [row["step"] for row in found["train"] if row["run_id"] == runs[0].id] == list(range(100, 1300, 100))
    assert len(found["evals"]) == 2 * 3 * 3  # models, evaluations, metrics
    assert all(f"{run.model.name} step 1200/1200 " in output for run in runs)  # the last evaluation is said as well
    assert "Scaling law" in output
    assert {"figure08_compute.png", "figure08_compute.svg", "figure07_samples.png", "index.html"} <= {
        path.name for path in (spec.parent / "store" / "figures").iterdir()
    }
    losses = [row["loss"] for row in found["train"] if row["run_id"] == runs[1].id]
    assert losses[-1] < losses[0] / 2  # it learned something


def test_the_status_of_a_done_run_is_the_same_from_its_end_and_from_the_tables(untouched):
    store = Store.open(str(untouched[0].parent / "store"))
    assert read_status(store) == list(_from_tables(store, store.run_ids(), store.states(), now=0.0))


def test_launching_a_finished_grid_changes_nothing_and_starts_no_ray(untouched, numbers):
    spec, _, found = untouched
    before = {path: path.stat().st_mtime_ns for path in (spec.parent / "store").rglob("*") if path.is_file()}
    process = launched(spec)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "All 2 runs of miniature are done" in output
    assert "Scaling law" in output
    assert before == {path: path.stat().st_mtime_ns for path in (spec.parent / "store").rglob("*") if path.is_file()}
    assert numbers(Store.open(str(spec.parent / "store"))) == found


def test_killing_a_worker_and_then_the_driver_changes_no_number(untouched, miniature_spec, numbers, tmp_path):
    """A second launch of the same grid watches the first, and takes over once that is killed."""
    spec, store = miniature_spec(tmp_path), tmp_path / "store"
    process = launched(spec)
    wait_for(lambda: list(store.glob("control/driver-??????.json")))  # long before its runs end
    second = launched(spec)
    said = next((line for line in second.stdout if "is driven by" in line), "")
    assert f"is driven by process {process.pid} on" in said
    wait_for(lambda: checkpoints(store))
    assert not [name for name in processes_of(process.pid) if UNASKED.search(name)]
    victim = next(iter(Store.open(str(store)).states()))
    os.kill(Store.open(str(store)).attempts(victim)[-1].start["pid"], signal.SIGKILL)
    wait_for(lambda: Store.open(str(store)).states()[victim].attempt == 2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    wait_for(lambda: not workers_of(process.pid))  # they notice that their driver is gone
    output, _ = second.communicate(timeout=300)
    assert "that driver is gone; going on here" in output
    assert second.returncode == 0, output
    assert numbers(Store.open(str(store))) == untouched[2]
    assert Store.open(str(store)).states()[victim].attempt >= 2


def test_ctrl_c_leaves_no_process_and_the_same_command_goes_on_whatever_is_around_though_it_is_frozen(
    untouched, miniature_spec, numbers, tmp_path, unkind
):
    """The second launch sleeps past its lease, wakes, and goes on under the next number instead of watching itself."""
    spec, store = miniature_spec(tmp_path), tmp_path / "store"
    text = spec.read_text().replace("[S, B]", "[S]").replace("cluster: {", "cluster: {lease_s: 3, ")
    spec.write_text(text.replace("checkpoint_every: 400", "checkpoint_every: 100"))  # most is still to be done then
    process = launched(spec)
    wait_for(lambda: checkpoints(store))
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does: every process of the launch gets it
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "goes on from the last checkpoint" in output
    wait_for(lambda: not processes_of(process.pid), seconds=10)
    ((run_id, state),) = Store.open(str(store)).states().items()
    assert state.outcome == "interrupted"

    again = launched(spec, env={**os.environ, **unkind})
    wait_for(lambda: Store.open(str(store)).states()[run_id].attempt == 2 or again.poll() is not None)
    os.kill(again.pid, signal.SIGSTOP)
    time.sleep(1.5 * 3)
    os.kill(again.pid, signal.SIGCONT)
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
    assert "Traceback" not in output
    assert "watching it" not in output
    assert json.loads((store / "control" / "driver-000003.end.json").read_text())["outcome"] == "ended"
    alone = {table: [row for row in rows if row["run_id"] == run_id] for table, rows in untouched[2].items()}
    assert numbers(Store.open(str(store))) == alone


def test_what_the_cluster_cannot_hold_is_said_before_anything_starts(miniature_spec, tmp_path):
    text = miniature_spec(tmp_path).read_text().replace("{cpus: 1}", "{slice: v3-32}")
    spec = tmp_path / "slices.yaml"
    spec.write_text(text)
    with pytest.raises(RequestError) as caught:
        check_placeable(list(load_spec(spec).runs), ClusterSeen(0.0, {"cpu": 2}))
    message = str(caught.value)
    assert "cannot hold 2 of 2 runs; it has 2 x cpu" in message
    assert "1 x v3-32 each: S/4, B/4" in message
    draining = SliceSeen("a", "v3-32", ("w0", None, "w2", "w3"), draining=True)
    check_placeable(list(load_spec(spec).runs), ClusterSeen(0.0, {}, (draining,)))  # it may come back


DIVERGING = """
train: {steps: 20, batch: 8, log_every: 10, optimizer: {learning_rate: 1e30, name: sgd}}
evaluate: {every: 20, settings: [{metrics: [heldout_loss], samples: 32}]}
execution: {resources: {cpus: 1}, checkpoint_every: 20, steps_per_call: 10}
overrides: {"B/*": {train: {optimizer: {learning_rate: 1.0e-4}}}}
"""


def test_a_diverged_run_fails_with_its_step_and_the_others_finish(small_spec, tmp_path):
    spec_file = small_spec(tmp_path / "nan.yaml", tmp_path / "store", DIVERGING)
    spec = load_spec(spec_file)
    store = Store.create(spec.store)
    record_runs(spec, store)
    state = drive(unfinished(spec), store, InProcess(store))
    bad, good = (state.runs[run.id] for run in spec.runs)
    assert bad.phase is Phase.FAILED
    assert "nan: NonFiniteLossError" in bad.reason
    assert "between steps 1 and 10:" in bad.reason
    assert good.phase is Phase.DONE
    end = store.attempts(bad.id)[-1].end or {}
    assert end["class"] == "nan"
    assert "Traceback" in end["traceback"]
    assert store.train([bad.id]).num_rows == 0  # no NaN reaches a table


def test_the_journal_of_a_launch_told_to_the_core_again_gives_the_same_decisions(untouched):
    store = Store.open(str(untouched[0].parent / "store"))
    state = journal.replayed(store.events().to_pylist())
    assert [run.phase for run in state.in_order()] == [Phase.DONE, Phase.DONE]
    assert state.compute.wasted == 0
    assert state.compute.total == sum(
        accounting.training_macs(run.network, run.train.batch, run.train.steps)
        for run in load_spec(untouched[0]).networks
    )


class Left(InProcess):
    """Notes what it was told at the end."""

    told: str = ""

    def detach(self):
        self.told = "detach"


def test_a_driver_that_loses_its_lease_touches_nothing_more(miniature_spec, tmp_path):
    spec = load_spec(miniature_spec(tmp_path))
    store = Store.create(spec.store)
    record_runs(spec, store)
    backend, answers = Left(store), iter([True, False])
    state = drive(unfinished(spec), store, backend, holds=lambda: next(answers))
    assert backend.told == "detach"
    assert not store.states()  # no run was begun
    assert not state.finished
    assert "LeaseLost" in store.events()["kind"].to_pylist()


def test_requests_that_stand_are_obeyed_before_anything_starts(miniature_spec, tmp_path):
    spec = load_spec(miniature_spec(tmp_path))
    store = Store.create(spec.store)
    record_runs(spec, store)
    asked = [[Asked(now(), "cancel", tuple(run.id for run in spec.runs))]]
    state = drive(unfinished(spec), store, InProcess(store), requests=lambda: asked.pop() if asked else [])
    assert {run.phase for run in state.in_order()} == {Phase.CANCELLED}
    assert not store.states()
