"""Runs whose own end is known are ended early, say what that saved, and go on when asked for without `--until`."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.experiments.training.context import Progress
from dit_grid.orchestrator import core
from dit_grid.orchestrator.advice.until import adviser, asked_until, until
from dit_grid.orchestrator.advice.watch import Watch
from dit_grid.orchestrator.backends.contract import InProcess
from dit_grid.orchestrator.commands.cli import cli
from dit_grid.orchestrator.commands.launch import _exit_status
from dit_grid.orchestrator.control import journal
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.core import Phase, Run
from dit_grid.orchestrator.core.events import Asked, CheckpointAndStop, ClusterSeen, GangGone, GangStarted, RankEnded
from dit_grid.orchestrator.core.invariants import full
from dit_grid.orchestrator.driving.loop import drive
from dit_grid.orchestrator.driving.under_lease import _said
from dit_grid.orchestrator.driving.who_drives import Finish
from dit_grid.orchestrator.planning.work import record_runs, unfinished

SPEC = """
name: final
store: {store}
grid: {{model.size: [S, B, C, D, E], model.patch: [4]}}
sizes:
  S: {{width: 16, depth: 1, heads: 2}}
  B: {{width: 24, depth: 1, heads: 2}}
  C: {{width: 32, depth: 1, heads: 2}}
  D: {{width: 40, depth: 1, heads: 2}}
  E: {{width: 48, depth: 1, heads: 2}}
model: {{image_size: 8, channels: 1, classes: 10}}
data: {{name: digits}}
train: {{steps: 200, batch: 16, log_every: 5}}
evaluate: {{every: 25, settings: [{{metrics: [heldout_loss], samples: 297}}]}}
execution: {{resources: {{cpus: 1}}, checkpoint_every: 50, steps_per_call: 5}}
"""


@pytest.fixture
def grid(tmp_path):
    """Four models that ended along one law, and a fifth that is at half of its steps."""
    path = tmp_path / "final.yaml"
    path.write_text(SPEC.format(store=tmp_path / "store"))
    spec = load_spec(path)
    store = Store.create(spec.store)
    record_runs(spec, store)
    rng = np.random.default_rng(0)
    luck = rng.normal(0, 0.02, 41)
    for place, run in enumerate(spec.runs):
        last = 100 if run.model.size == "E" else 200
        attempt = store.begin_attempt(run.id, 0)
        with store.writer(attempt) as writer:
            for step in range(5, last + 1, 5):
                fault = 1.4 if run.model.size == "E" and step > 80 else 1.0
                loss = fault * (0.1 + (step + 10) ** -0.5) * np.exp(luck[step // 5] + rng.normal(0, 0.003))
                writer.train({"step": step, "loss": float(loss), "steps_per_s": 50.0})
                if step % 25 == 0:
                    value = (1 - 0.1 * place) * step ** -(0.3 + 0.01 * place)
                    writer.eval({"step": step, "metric": "heldout_loss", "value": value, "protocol": "p",
                                 "samples": 297, "weights": "ema"})  # fmt: skip
        store.end_attempt(attempt, "done" if last == 200 else "interrupted", {"step": last})
    return spec, store


def test_a_run_whose_end_is_known_is_not_started_and_says_what_that_saves(grid, capsys):
    spec, store = grid
    wanted = asked_until(spec, "final ±25%", None, "finish")
    (left,) = unfinished(wanted)
    state = drive([left], store, InProcess(store), advise=adviser(wanted, store))
    run = state.runs[left.id]
    assert (run.phase, state.finished) == (Phase.CANCELLED, True)
    truth = 0.6 * 200**-0.34
    found = float(run.known.split("heldout_loss ")[1].split(" ")[0])
    assert found == pytest.approx(truth, rel=0.03)
    assert "(asked ±25%, from 4 peers), predicted at step 100; not trained on saves up to 100 steps" in run.known
    assert len(store.attempts(left.id)) == 1
    assert _exit_status(Finish(state)) == 0
    assert "1 run was ended early. Launched without --until they go on" in capsys.readouterr().out
    assert _said(state, [left])["known"] == {left.id: run.known}
    assert any(row["kind"] == "Asked" and "end known" in row["detail"] for row in store.events().to_pylist())
    assert [run.id for run in unfinished(spec)] == [left.id]  # a launch without it has the run to do


def test_an_end_that_is_known_less_well_than_asked_ends_nothing(grid):
    spec, store = grid
    assert adviser(asked_until(spec, "final ±0.1%", None, "finish"), store)() == ()


def test_the_driver_looks_while_runs_train_and_says_each_thing_once(grid):
    spec, store = grid
    wanted, clock = asked_until(spec, "final ±25%", None, "finish"), iter(range(0, 10_000, 30))
    watch = Watch(wanted, store, lambda: float(next(clock)))
    (run,) = unfinished(wanted)
    alarm, asked = watch({run.id: Progress(run.id, 1, 100, 200)})
    assert isinstance(alarm, journal.Noticed)
    assert (alarm.kind, alarm.run_id) == ("left-curve", run.id)
    assert alarm.detail["step"] == 85
    assert alarm.detail["by"] == pytest.approx(0.4, abs=0.05)
    assert isinstance(asked, Asked)
    assert (asked.what, asked.run_ids) == ("enough", (run.id,))
    assert watch({run.id: Progress(run.id, 1, 105, 200)}) == ()  # hardly further
    assert watch({run.id: Progress(run.id, 1, 150, 200)}) == ()  # further, and nothing new


def test_a_watch_takes_a_small_part_of_the_drivers_time(grid):
    spec, store = grid
    times = iter([0.0, 4.0, 5.0, 199.0, 205.0, 206.0])
    watch = Watch(spec, store, lambda: next(times))
    (run,) = unfinished(spec)
    looks = [len(watch({run.id: Progress(run.id, 1, step, 200)})) for step in (100, 120, 140, 160)]
    assert looks == [1, 0, 0, 0]
    assert next(times, None) is None  # it looked at 0 and, two hundred seconds after four seconds' work, at 205


def test_what_it_noticed_is_in_the_journal_which_reads_back(grid):
    spec, store = grid
    (left,) = unfinished(spec)
    said = [journal.Noticed("left-curve", left.id, {"step": 85, "by": 0.4})]
    with_time_out = asked_until(spec, "final ±25%", None, "finish")
    drive(
        [left],
        store,
        InProcess(store),
        advise=adviser(with_time_out, store),
        watch=lambda progress: [said.pop()] if said else [],
    )
    rows = store.events().to_pylist()
    (row,) = (row for row in rows if row["kind"] == "left-curve")
    assert (row["run_id"], json.loads(row["detail"])) == (left.id, {"step": 85, "by": 0.4})
    assert journal.replayed(rows).runs[left.id].known.startswith("end known")


def test_a_status_shows_the_alarm_in_words_and_as_json(grid):
    spec, _ = grid
    shown = CliRunner().invoke(cli, ["status", spec.store])
    assert shown.exit_code == 0, shown.output
    (left,) = unfinished(spec)
    assert f"{left.id}: ALARM: left its peers' loss curve at step 85" in shown.output
    rows = json.loads(CliRunner().invoke(cli, ["status", spec.store, "--json"]).stdout)
    assert [bool(row["alarm"]) for row in rows] == [row["run_id"] == left.id for row in rows]


def test_a_forecast_of_a_store_says_where_its_runs_will_end_before_there_is_a_law(grid):
    spec, _ = grid
    found = json.loads(CliRunner().invoke(cli, ["forecast", spec.store, "--json"]).stdout)
    (row,) = found["runs"]
    assert (row["model"], row["step"], row["until"], row["peers"]) == ("E/4", 100, 200, 4)
    assert row["low"] < 0.6 * 200**-0.34 < row["high"]
    shown = CliRunner().invoke(cli, ["forecast", spec.store, "--longer", "2"]).output
    assert "heldout_loss of runs along training, after 2 times their steps" in shown
    assert "5 of 5 rest on their own curve alone" in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--longer", "2", "--models", "E/4"], "--models chooses models"),
        (["--longer", "2", "--metric", "fid"], "no 'fid' values"),
        (["--longer", "1"], "--longer 1: give a number above 1"),
        (["--longer", "nan"], "--longer nan: give a number above 1"),
        (["--longer", "1e9"], "up to 100"),
    ],
)
def test_a_wrong_question_about_longer_training_is_one_line(grid, options, message):
    spec, _ = grid
    found = CliRunner().invoke(cli, ["forecast", spec.store, *options])
    assert message in (str(found.exception) if not isinstance(found.exception, SystemExit) else found.output)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("final", "e.g. 'final ±3%'"),
        ("final ±0.05", "a final value's width is a share of it, e.g. 'final ±3%'"),
        ("final ±0%", "the width must be a number above 0"),
        ("final:E/4 ±3%", "write a coefficient"),
    ],
)
def test_a_wrong_width_of_ends_is_refused_before_anything_starts(grid, target, message):
    with pytest.raises(RequestError, match=message):
        asked_until(grid[0], target, None, "finish")
    with pytest.raises(RequestError, match="accuracy rises with training"):
        asked_until(grid[0], "final ±3%", "accuracy", "finish")
    with pytest.raises(RequestError, match="about each run"):
        until("final ±3%", {})


def test_a_running_gang_is_asked_to_checkpoint_and_its_measurements_go_on():
    jobs = [Run("a@5", "cpu", 1, of="a", at_step=5, steps=1), Run("a@10", "cpu", 1, of="a", at_step=10, steps=1)]
    state = core.initial([Run("a", "cpu", 1, steps=10), Run("b", "cpu", 1, steps=10), *jobs])
    state, actions = core.advance(state, ClusterSeen(1.0, {"cpu": 1}))
    gang = actions[0].gang
    state, _ = core.advance(state, GangStarted(1.5, gang))
    state, actions = core.advance(state, Asked(2.0, "enough", ("a", "a run of another store"), "end known: x"))
    full(state)
    assert actions == (CheckpointAndStop(gang),)
    state, _ = core.advance(state, RankEnded(3.0, gang, 0, "interrupted", 5))
    state, actions = core.advance(state, GangGone(3.5, gang, 5))
    full(state)
    assert (state.runs["a"].phase, state.runs["a"].reason) == (Phase.CANCELLED, "end known: x")
    assert state.runs["a@5"].phase is not Phase.CANCELLED  # its checkpoint is there
    assert state.runs["a@10"].phase is Phase.CANCELLED
    state, _ = core.advance(state, Asked(4.0, "retry", ("a",)))
    full(state)
    assert (state.runs["a"].phase, state.runs["a"].known) == (Phase.WAITING, "")
