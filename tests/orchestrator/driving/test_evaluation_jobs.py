"""Evaluations as jobs of their own: the same numbers as inside the training, once each, whatever dies on the way."""

import shutil
import signal
import subprocess
import sys

import pytest

from dit_grid.experiments.evaluation import evaluation
from dit_grid.experiments.evaluation.partial_state import PartialEvaluation
from dit_grid.experiments.running.evaluation_job import _Measuring, evaluate_checkpoint
from dit_grid.experiments.running.owed_evaluations import (
    evaluation_job,
    evaluation_steps,
    job_from_json,
    jobs_of,
    lacking,
)
from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.experiments.store.check import check
from dit_grid.experiments.store.partials import partials_of
from dit_grid.experiments.training.checkpoint_list import live_checkpoints
from dit_grid.experiments.training.checkpoints import Checkpoints
from dit_grid.experiments.training.context import Context
from dit_grid.orchestrator.backends.contract import InProcess, attempt
from dit_grid.orchestrator.control import journal
from dit_grid.orchestrator.core import Phase
from dit_grid.orchestrator.driving.loop import drive
from dit_grid.orchestrator.planning.work import record_runs, unfinished
from dit_grid.orchestrator.screen.status import read_status

SAME = ["run_id", "step", "metric", "protocol", "value", "samples", "sampler", "weights", "seed", "reference_sha256",
        "features_sha256", "code_sha256"]  # fmt: skip


def specified(miniature_spec, folder, apart):
    """One model of the miniature, evaluated inside its training, or on a core of its own; few steps."""
    path = miniature_spec(folder)
    text = path.read_text().replace("[S, B]", "[S]").replace(": 1200", ": 200").replace(": 400", ": 100")
    own = "  evaluate_on: {cpus: 1}\n" if apart else ""
    path.write_text(text.replace("execution:\n", f"execution:\n  keep_checkpoints: 1\n{own}"))
    return load_spec(path)


def launched(spec):
    store = Store.create(spec.store)
    record_runs(spec, store)
    return store, drive(unfinished(spec), store, InProcess(store))


def rows(store):
    return store.evals().select(SAME).to_pylist()


@pytest.fixture(scope="module")
def inside(miniature_spec, tmp_path_factory):
    """What a run that measured itself left: its rows, and the record of its end."""
    store, _ = launched(specified(miniature_spec, tmp_path_factory.mktemp("inside"), apart=False))
    return rows(store), store.details(store.states().values())[0]


@pytest.fixture(scope="module")
def trained(miniature_spec, tmp_path_factory):
    """A run that is trained and not measured yet, in a folder to be copied."""
    folder = tmp_path_factory.mktemp("trained")
    spec = specified(miniature_spec, folder, apart=True)
    store = Store.create(spec.store)
    record_runs(spec, store)
    assert attempt(spec.runs[0], Context(store)).outcome == "done"
    return folder


@pytest.fixture
def waiting(trained, tmp_path):
    """The trained run with its measurements before it: its spec and store."""
    shutil.copytree(trained, tmp_path / "copy")
    spec = load_spec(tmp_path / "copy" / "miniature.yaml")
    spec = spec.model_copy(update={"store": str(tmp_path / "copy" / "store")})
    return spec, Store.open(spec.store)


def test_the_id_does_not_depend_on_where_checkpoints_are_measured(miniature_spec, tmp_path):
    (apart,), (inside,) = (specified(miniature_spec, tmp_path, apart=way).runs for way in (True, False))
    assert (apart.id, inside.identity()) == (inside.id, apart.identity())
    job = evaluation_job(apart, 100)
    assert job_from_json(job.model_dump_json()) == job
    assert (job.id, job.run_id, job.run.id) == (f"{apart.id}.eval-100", apart.id, apart.id)


def test_a_launch_writes_the_same_rows_bit_for_bit_and_then_the_run_is_done(inside, miniature_spec, tmp_path):
    spec = specified(miniature_spec, tmp_path, apart=True)
    store, state = launched(spec)
    run = spec.runs[0].id
    assert rows(store) == inside[0]
    assert {one.phase for one in state.in_order()} == {Phase.DONE}
    assert store.details(store.states().values())[0]["summary"]["metrics"] == inside[1]["summary"]["metrics"]
    assert (unfinished(spec), check(store)) == ([], [])
    assert [step for step, _ in live_checkpoints(store, run)] == [200], "what was kept to be measured is not needed now"
    history = store.events().to_pylist()
    starts = [row["run_id"] for row in history if row["kind"] == "Start"]
    assert starts == [run, f"{run}.eval-100", f"{run}.eval-200"], "training first"
    assert journal.replayed(history).runs[run].phase is Phase.DONE
    assert state.evaluation_compute.total == state.evaluation_compute.productive > 0


def test_a_trained_run_is_not_done_and_keeps_the_checkpoints_that_are_to_be_measured(waiting):
    spec, store = waiting
    (run,) = spec.runs
    assert [row.state for row in read_status(store)] == ["trained"]
    assert [step for step, _ in live_checkpoints(store, run.id)] == evaluation_steps(run) == [100, 200]
    assert [job.measures for job in jobs_of(unfinished(spec))] == [100, 200]


def test_a_process_killed_while_it_measures_leaves_nothing_and_the_next_one_measures_all(inside, waiting):
    spec, store = waiting
    program = (
        "import sys, time\n"
        "from dit_grid.experiments.training.context import Context\n"
        "from dit_grid.experiments.running.evaluation_job import evaluate_checkpoint\n"
        "from dit_grid.experiments.running.owed_evaluations import job_from_json\n"
        "from dit_grid.experiments.store import Store\n"
        "def report(progress):\n"
        "    if progress.activity == 'evaluating':\n"
        "        print('evaluating', flush=True)\n"
        "        time.sleep(600)\n"
        "evaluate_checkpoint(job_from_json(sys.argv[2]), Context(Store.open(sys.argv[1]), report=report))\n"
    )
    job = evaluation_job(spec.runs[0], 100).model_dump_json()
    process = subprocess.Popen([sys.executable, "-c", program, spec.store, job], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "evaluating\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (rows(store), lacking(store, spec.runs)[spec.runs[0].id]) == ([], [100, 200])
    store, state = launched(spec)
    assert rows(store) == inside[0]
    assert [one.phase for one in state.in_order()] == [Phase.DONE] * 3
    assert store.states()[spec.runs[0].id].attempt == 1, "measuring began no attempt"


def test_a_process_killed_between_chunks_of_samples_is_gone_on_from(inside, waiting, monkeypatch):
    spec, store = waiting
    program = (
        "import sys, time\n"
        "from dit_grid.experiments.evaluation import evaluation, partial_state\n"
        "from dit_grid.experiments.running import evaluation_job\n"
        "from dit_grid.experiments.training.context import Context\n"
        "from dit_grid.experiments.running.owed_evaluations import job_from_json\n"
        "from dit_grid.experiments.store import Store\n"
        "evaluation.SAMPLE_BATCH = 16\n"
        "chunks = []\n"
        "def stop():\n"
        "    chunks.append(None)\n"
        "    if len(chunks) == 4:\n"
        "        print('three chunks are kept', flush=True)\n"
        "        time.sleep(600)\n"
        "    return False\n"
        "class Often(partial_state.PartialEvaluation):\n"
        "    def __init__(self, measured, stop_requested):\n"
        "        super().__init__(measured, stop_requested, every_s=0.0)\n"
        "evaluation_job.PartialEvaluation = Often\n"
        "context = Context(Store.open(sys.argv[1]), stop_requested=stop)\n"
        "evaluation_job.evaluate_checkpoint(job_from_json(sys.argv[2]), context)\n"
    )
    job = evaluation_job(spec.runs[0], 100)
    command = [sys.executable, "-c", program, spec.store, job.model_dump_json()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "three chunks are kept\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert rows(store) == []
    assert sorted(part.chunks for part in partials_of(store.files, job.run_id)) == [2, 3]
    monkeypatch.setattr(evaluation, "SAMPLE_BATCH", 16)
    taken, honest = [], PartialEvaluation._go_on

    def told(self, chunks, found):
        taken.append(chunks)
        honest(self, chunks, found)

    monkeypatch.setattr(PartialEvaluation, "_go_on", told)
    assert evaluate_checkpoint(job, Context(store)) == "done"
    assert (rows(store), taken) == ([row for row in inside[0] if row["step"] == 100], [3])
    assert partials_of(store.files, job.run_id) == []


def test_one_that_was_thought_dead_and_writes_after_its_successor_doubles_nothing(inside, waiting):
    spec, store = waiting
    launched(spec)
    job, checkpoints = evaluation_job(spec.runs[0], 200), Checkpoints(store, spec.runs[0].id)
    assert _Measuring(job, Context(store), checkpoints).done() == "done"
    checkpoints.close()
    assert store.evals([spec.runs[0].id]).num_rows == len(inside[0])
    assert rows(store) == inside[0]
    assert check(store) == []


def test_a_trained_run_is_measured_also_when_the_spec_says_so_no_more(inside, waiting):
    spec, store = waiting
    run = spec.runs[0]
    inline = run.model_copy(update={"execution": run.execution.model_copy(update={"evaluate_on": None})})
    launched(spec.model_copy(update={"runs": (inline,)}))
    assert rows(store) == inside[0]
    assert store.states()[run.id].outcome == "done"
