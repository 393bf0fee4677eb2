"""A grid of somebody's own trainer, launched, killed and launched again: the same numbers; and then its law."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator.backends import ray
from dit_grid.orchestrator.backends.contract import InProcess
from dit_grid.orchestrator.commands.cli import main
from dit_grid.orchestrator.core import Phase
from dit_grid.orchestrator.driving.loop import drive
from dit_grid.orchestrator.planning.calibrate import calibration, measured_speeds
from dit_grid.orchestrator.planning.work import record_runs, unfinished

TOY = Path(__file__).parents[2] / "toy_trainer.py"

SPEC = """
name: toys
store: {store}
trainer: {trainer}
grid: {{config.width: [2, 4, 8, 16]}}
config: {{sleep: {sleep}}}
cost:
  params: 3 * config.width ** 2
  forward_gmacs: config.width / 1000
  train_gmacs: 3 * config.width * train.steps / 1000
metrics: {{distance: {{scale: log}}, score: {{better: higher}}}}
train: {{steps: 40, log_every: 1}}
execution: {{resources: {{cpus: 1}}, checkpoint_every: 10, flush_s: 0.2}}
cluster: {{settle_s: 0.5, backoff_s: 0.2}}
"""


def written(folder, trainer="toy_trainer:train", sleep=0.0, more=""):
    folder.mkdir(exist_ok=True)
    shutil.copy(TOY, folder)
    path = folder / "toys.yaml"
    path.write_text(SPEC.format(store=folder / "store", trainer=trainer, sleep=sleep) + more)
    return path


@pytest.fixture
def said(monkeypatch, capsys):
    """A function that runs `dit-grid` with these arguments in this process: its exit status, output and errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["dit-grid", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run


def numbers(store):
    train = store.train().select(["step", "loss"]).to_pylist()
    evals = store.evals().select(["step", "metric", "value"]).to_pylist()
    return sorted(map(str, train)), sorted(map(str, evals))


def wait_for(condition, seconds=400):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The grid driven in this process: its spec file and store."""
    path = written(tmp_path_factory.mktemp("here"))
    spec = load_spec(path)
    store = Store.create(spec.store)
    record_runs(spec, store)
    state = drive(unfinished(spec), store, InProcess(store))
    assert {run.phase for run in state.in_order()} == {Phase.DONE}
    assert state.compute.total == sum(3 * width * 40 * 10**6 for width in (2, 4, 8, 16))
    return path, store


def test_results_status_law_and_plan_know_it(here, said):
    path, _ = here
    table = json.loads(said("results", path, "--format", "json")[1])
    assert [(row["model"], row["params"], row["gmacs"]) for row in table] == [
        (f"width={width}", 3 * width**2, width / 1000) for width in (2, 4, 8, 16)
    ]
    law = said("analyze", path)[1]
    assert "Scaling law: distance (distance) against GMACs per forward pass" in law
    assert "4 models, 4 runs; step 40; 7 images" in law
    assert "exponent -1 " in law or "exponent -1.000" in law  # the toy's distance falls as 1 / width
    plan = json.loads(said("plan", path, "--json")[1])
    assert all(row["steps_per_s"] > 0 and row["speed_from"] == "measured" for row in plan)
    assert [row["train_gmacs"] for row in plan] == pytest.approx([0.24, 0.48, 0.96, 1.92])
    status = json.loads(said("status", path, "--json")[1])
    assert {(row["state"], row["step"], row["measured"]) for row in status} == {("done", 40, "")}


class Interrupted(InProcess):
    """Gets Ctrl-C while the first run is at work."""

    def poll(self, timeout_s):
        os.kill(os.getpid(), signal.SIGINT)
        return super().poll(timeout_s)


def test_who_interrupts_gets_the_table_and_the_prompt_back_before_anything_is_drawn(here, said, tmp_path, monkeypatch):
    """Though all that figures need is there: of one run alone the end is not recorded."""
    path, _ = here
    store = shutil.copytree(path.parent / "store", tmp_path / "store")
    next((store / "attempts").glob("*.done.json")).unlink()
    shutil.rmtree(store / "figures", ignore_errors=True)
    monkeypatch.setattr(ray, "RayBackend", lambda where: Interrupted(Store.open(where)))
    code, output, errors = said("launch", path, "--store", store)
    assert code == 130, output + errors
    assert "Scaling law: distance" in output
    assert "What to run next" not in output
    assert not (store / "figures").exists()


def test_speeds_are_measured_by_a_few_steps_of_the_trainer_itself(tmp_path):
    spec = load_spec(written(tmp_path))
    short = calibration(spec)
    store = Store.create(short.store)
    record_runs(short, store)
    assert drive(unfinished(short), store, InProcess(store)).finished
    speeds = measured_speeds(spec)
    assert speeds.keys() == {run.id for run in spec.runs}
    assert all(speed.steps_per_s > 0 for speed in speeds.values())
    assert len(unfinished(spec)) == 4  # nothing of the grid itself has begun


def test_a_launch_that_is_killed_everywhere_ends_with_the_same_numbers(here, said, ray_folder, tmp_path):
    """A trainer is killed, then a worker, then the driver; nothing of the killed is left, and no number differs."""
    path = written(tmp_path / "there", sleep=0.1)
    process = launched(path)
    where = str(tmp_path / "there" / "store")
    try:
        wait_for(
            lambda: list(Path(where).glob("checkpoints/*/.mark*")) or list(Path(where).glob("checkpoints/*/*.json"))
        )
        store = Store.open(where)
        victim = next(iter(store.states()))
        worker = store.attempts(victim)[-1].start["pid"]
        os.kill(trainers_of(worker)[0], signal.SIGKILL)
        wait_for(lambda: store.states()[victim].attempt == 2)
        worker = store.attempts(victim)[-1].start["pid"]
        wait_for(lambda: trainers_of(worker))
        orphans = trainers_of(worker)
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: not any(map(is_alive, orphans)), seconds=20)
        wait_for(lambda: store.states()[victim].attempt == 3)
    finally:
        process.kill()
        process.communicate()
    again = launched(path, env={**os.environ, "TOY_SLEEP_S": "0"})
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
    assert numbers(store) == numbers(here[1])
    assert "Scaling law: distance" in output
    assert "done after step 40" in said("logs", victim, path)[1]


def launched(path, **options):
    command = [sys.executable, "-m", "dit_grid.orchestrator", "launch", str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def trainers_of(worker):
    """Processes of the toy trainer that descend from a worker."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            line = (entry / "cmdline").read_text()
        except OSError:
            continue
        parents[int(entry.name)] = (int(fields[1]), "trainers.call" in line and "launcher" not in line)
    return [pid for pid, (parent, toy) in parents.items() if toy and parents.get(parent, (0,))[0] == worker]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"trainer": "no_such_module:train"}, "trainer: no_such_module:train cannot be imported from"),
        ({"trainer": "toy_trainer:fly"}, "module 'toy_trainer' has no function 'fly'"),
        ({"trainer": "{command: [no-such-program, x]}"}, "trainer.command: no-such-program: no such program"),
    ],
)
def test_a_trainer_that_is_not_there_is_one_line_before_anything_starts(said, tmp_path, changed, words):
    code, _, errors = said("launch", written(tmp_path, **changed))
    assert code == 2
    assert words in errors
    assert len(errors.strip().splitlines()) == 1
    assert not (tmp_path / "store").exists()
