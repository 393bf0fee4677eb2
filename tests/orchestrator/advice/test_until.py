"""A grid that stops when it knows enough: what comes first, when it is enough, and that nothing of it is lost."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from dit_grid.analysis.results.frames import Results, assemble
from dit_grid.experiments.spec import ExperimentSpec, load_spec
from dit_grid.experiments.store import Store
from dit_grid.experiments.store.records import EVALS, EVENTS, RUNS, TRAIN
from dit_grid.orchestrator import core
from dit_grid.orchestrator.advice.until import adviser, asked_until, until
from dit_grid.orchestrator.backends.contract import InProcess
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.core import Phase, Run, why
from dit_grid.orchestrator.core.events import ClusterSeen, Gang, GangGone, RankEnded, Reordered, Start
from dit_grid.orchestrator.core.invariants import full
from dit_grid.orchestrator.driving.loop import drive
from dit_grid.orchestrator.planning.work import record_runs, run_row, unfinished

MORE_SIZES = (
    "B: {width: 24, depth: 2, heads: 2}\n  C: {width: 24, depth: 4, heads: 2}\n  D: {width: 32, depth: 4, heads: 2}"
)


@pytest.fixture
def eight(miniature_spec, tmp_path):
    """The miniature with four sizes at two patches, short, and with a cheap metric only."""
    text = miniature_spec(tmp_path).read_text()
    text = text.replace("[S, B]", "[S, B, C, D]").replace("[4]", "[8, 4]").replace("steps: 1200", "steps: 100")
    text = text.replace("B: {width: 24, depth: 2, heads: 2}", MORE_SIZES).replace("every: 400", "every: 100")
    head, tail = text.split("    - {metrics: [fd_conv")
    path = tmp_path / "eight.yaml"
    path.write_text(head + tail.split("\n", 1)[1])
    return load_spec(path)


def measured(spec: ExperimentSpec, values: dict[str, float]) -> Results:
    """Results as if the named models were done, with a final held-out loss each."""
    import pandas as pd

    rows = pd.DataFrame([run_row(spec, run) for run in spec.runs]).reindex(columns=RUNS.schema.names)
    evals = [
        {"run_id": run.id, "attempt": 1, "step": run.train.steps, "metric": "heldout_loss", "protocol": "p",
         "value": values[run.model.name], "samples": 297, "weights": "ema"}
        for run in spec.runs if run.model.name in values
    ]  # fmt: skip
    frames = [pd.DataFrame(r, columns=t.schema.names) for t, r in ((TRAIN, []), (EVALS, evals), (EVENTS, []))]
    states = {run.id: "done" for run in spec.runs if run.model.name in values}
    return assemble(rows, frames[0], frames[1], frames[2], states)


def in_order(advice, spec):
    names = {run.id: run.model.name for run in spec.runs}
    return [names[run_id] for run_id in sorted(advice.priorities, key=lambda i: -advice.priorities[i])]


COSTS = {"S/8": 1.0, "S/4": 2.0, "B/8": 3.0, "B/4": 5.0, "C/8": 4.0, "C/4": 7.0, "D/8": 6.0, "D/4": 9.0}
LAW = {"S/8": 1.0, "S/4": 0.82, "B/8": 0.75, "B/4": 0.6, "C/8": 0.66, "C/4": 0.5, "D/8": 0.6, "D/4": 0.47}


def advised(spec, text, models, costs=COSTS):
    by_id = {run.id: costs[run.model.name] for run in spec.runs}
    return until(text, by_id)(measured(spec, {name: LAW[name] for name in models}))


def test_before_a_law_can_be_fitted_the_cheapest_come_first(eight):
    for done in ([], ["S/8"], ["S/8", "S/4"]):
        advice = advised(eight, "exponent ±0.05", done)
        assert not advice.stop
        waiting = [name for name in in_order(advice, eight) if name not in done]
        assert waiting == sorted(waiting, key=COSTS.__getitem__)


def test_a_metric_that_is_named_but_not_measured_yet_is_no_error(eight):
    by_id = {run.id: COSTS[run.model.name] for run in eight.runs}
    for results in (measured(eight, {}), measured(eight, {"S/8": 1.0})):
        advice = until("exponent ±0.1", by_id, "fid")(results)
        assert in_order(advice, eight)[:2] == ["S/8", "S/4"]
        assert "not known yet" in advice.why


def test_with_a_law_the_run_that_narrows_most_for_its_cost_comes_first(eight):
    done = ["S/8", "S/4", "B/8", "C/8"]
    cheap_and_far = COSTS | {"D/4": 2.0}  # the largest model for the price of the smallest tells the slope most
    assert in_order(advised(eight, "exponent ±0.001", done, cheap_and_far), eight)[0] == "D/4"
    dear = COSTS | {"D/4": 1e6}
    assert in_order(advised(eight, "exponent ±0.001", done, dear), eight)[-1] == "D/4"


def test_it_is_enough_when_the_interval_is_as_narrow_as_asked_and_not_before(eight):
    done = ["S/8", "S/4", "B/8", "C/8", "B/4", "D/8"]
    assert advised(eight, "exponent ±0.5", done).stop
    assert "target met: exponent -" in advised(eight, "exponent ±0.5", done).why
    assert not advised(eight, "exponent ±0.0001", done).stop
    assert not advised(eight, "exponent ±0.5", done[:5]).stop  # five models are too few, however narrow


def test_the_model_that_is_to_be_forecast_comes_last(eight):
    done = ["S/8", "S/4", "B/8", "C/8", "B/4", "D/8"]
    assert in_order(advised(eight, "forecast:D/4 ±0.0001%", done), eight)[-1] == "D/4"


@pytest.mark.parametrize(
    ("target", "metric", "message"),
    [
        ("exponnt ±0.1", None, "--until: target 'exponnt ±0.1'"),
        ("exponent", None, "add half of the 95 % interval"),
        ("slope ±1", None, "the law of fid has exponent"),
        ("exponent ±1", "accuracy", "the law of accuracy has slope"),
        (None, "fid", "--until-metric fid: say what is to be known"),
        ("slope ±1", "heldout_lss", "--until-metric heldout_lss: no run measures it; runs measure "),
    ],
)
def test_a_target_that_cannot_be_met_is_refused_before_anything_starts(eight, target, metric, message):
    with pytest.raises(RequestError, match=message):
        asked_until(eight, target, metric, "finish")


def test_a_spec_may_hold_its_target_and_the_command_line_goes_before_it(eight, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text((tmp_path / "eight.yaml").read_text() + "until: {target: exponent ±0.2, running: stop}\n")
    spec = load_spec(path)
    assert [run.id for run in spec.runs] == [run.id for run in eight.runs]
    assert asked_until(spec, None, None, "finish").until == spec.until
    chosen = asked_until(spec, "exponent ±0.1", None, "finish").until
    assert chosen is not None
    assert (chosen.target, chosen.running) == ("exponent ±0.1", "finish")


def scheduled(priorities=(0, 0, 0, 0)):
    """Four runs of one core each on one core; the first is running."""
    state = core.initial([Run(f"r{k}", "cpu", 1, priority, steps=10) for k, priority in enumerate(priorities)])
    state, actions = core.advance(state, ClusterSeen(1.0, {"cpu": 1}))
    return state, actions[0].gang


def ended(state, gang, at):
    state, _ = core.advance(state, RankEnded(at, gang, 0, "done", 10))
    return core.advance(state, GangGone(at, gang, 10))


def test_the_new_order_decides_who_starts_next():
    state, gang = scheduled()
    state, actions = core.advance(state, Reordered(2.0, ("r3", "r1")))
    full(state)
    assert actions == ()
    for expected in ("r3", "r1", "r2"):
        state, (started,) = ended(state, gang, 3.0)
        full(state)
        assert isinstance(started, Start)
        assert started.gang.run_id == expected
        gang = started.gang


def test_a_persons_priorities_stand_above_the_advice():
    state, gang = scheduled((0, 0, 5, 0))
    state, _ = core.advance(state, Reordered(2.0, ("r3", "r1", "r0", "r2")))
    assert gang.run_id == "r2"
    assert ended(state, gang, 3.0)[1][0].gang.run_id == "r3"


@pytest.mark.parametrize("stop_running", [False, True])
def test_enough_starts_nothing_more_and_leaves_the_rest_waiting_with_the_reason(stop_running):
    state, gang = scheduled()
    state, actions = core.advance(state, Reordered(2.0, (), "target met: x", stop_running))
    full(state)
    assert bool(actions) == stop_running  # the one that runs is asked to end, or left alone
    assert not state.finished
    state, actions = ended(state, gang, 3.0)
    full(state)
    assert (actions, state.finished) == ((), True)
    assert [run.phase for run in state.in_order()].count(Phase.WAITING) == 3
    assert {why(state, run.id) for run in state.in_order() if run.phase is Phase.WAITING} == {"target met: x"}


def test_a_journal_with_advice_reads_back():
    from dit_grid.orchestrator.control import journal

    lines = []

    class Lines:
        def event(self, kind, run_id="", attempt=None, **detail):
            import json

            lines.append({"kind": kind, "run_id": run_id, "detail": json.dumps(detail)})

    state = core.initial([Run(f"r{k}", "cpu", 1, steps=10) for k in range(3)])
    journal.open_with(Lines(), state)
    for event in (ClusterSeen(1.0, {"cpu": 1}), Reordered(2.0, ("r2",), why="because"), Reordered(3.0, (), "enough")):
        state, actions = core.advance(state, event)
        journal.record(Lines(), event, actions)
    assert journal.replayed(lines) == state
    assert state.runs["r0"].attempt is not None
    assert state.runs["r0"].attempt.gang == Gang("r0", 1)


TOYS = """
name: toys
store: {store}
trainer: toy_trainer:train
grid: {{config.width: [2, 4, 8, 16, 32, 64, 128]}}
cost: {{params: config.width, forward_gmacs: config.width / 1000, train_gmacs: config.width * train.steps / 1000}}
metrics: {{distance: {{scale: log}}}}
train: {{steps: 10}}
execution: {{resources: {{cpus: 1}}, checkpoint_every: 10}}
"""


@pytest.fixture
def seven(tmp_path):
    """Seven runs of a trainer that takes no time."""
    shutil.copy(Path(__file__).parents[2] / "toy_trainer.py", tmp_path)
    path = tmp_path / "toys.yaml"
    path.write_text(TOYS.format(store=tmp_path / "store"))
    return load_spec(path)


def test_a_real_grid_stops_at_its_target_and_a_later_launch_has_the_rest_to_do(seven):
    """One model is trained; four are put beside it as it was measured; of two that wait, one more is enough."""
    store = Store.create(seven.store)
    record_runs(seven, store)
    by_width = {run.config["width"]: run for run in seven.runs}
    drive([by_width[2]], store, InProcess(store))
    row = next(row for row in store.evals().to_pylist() if row["metric"] == "distance")
    for width in (16, 32, 64, 128):
        attempt = store.begin_attempt(by_width[width].id, 0)
        with store.writer(attempt) as writer:
            own = {key: value for key, value in row.items() if key not in ("run_id", "attempt") and value is not None}
            writer.eval(own | {"value": row["value"] * (2 / width) ** 0.3})
        store.end_attempt(attempt, "done", {"step": 10})
    spec = asked_until(seven, "exponent ±50", "distance", "finish")
    assert [run.config["width"] for run in unfinished(spec)] == [4, 8]
    state = drive(unfinished(spec), store, InProcess(store), advise=adviser(spec, store))
    assert state.enough.startswith("target met: exponent")
    assert sorted(str(run.phase) for run in state.in_order()) == ["done", "waiting"]
    assert any(row["kind"] == "Reordered" and "target met" in row["detail"] for row in store.events().to_pylist())
    (left,) = (run for run in state.in_order() if run.phase is Phase.WAITING)
    assert why(state, left.id) == state.enough
    assert [run.id for run in unfinished(seven)] == [left.id]
    attempts = len(store.attempts(left.id))
    again = drive(unfinished(spec), store, InProcess(store), advise=adviser(spec, store))
    assert again.enough.startswith("target met: exponent")
    assert again.runs[left.id].phase is Phase.WAITING
    assert len(store.attempts(left.id)) == attempts


def test_values_measured_another_way_do_not_count_towards_the_target(eight):
    names = ["S/8", "S/4", "B/8", "C/8", "B/4", "D/8"]
    results = measured(eight, {name: LAW[name] for name in names})
    policy = until("exponent ±0.9", {run.id: COSTS[run.model.name] for run in eight.runs})
    assert policy(results).stop
    other = results.evals["run_id"].isin(results.evals["run_id"].unique()[:3])
    mixed = dataclasses.replace(results, evals=results.evals.assign(protocol=other.map({True: "q", False: "p"})))
    advice = policy(mixed)
    assert not advice.stop
    assert "from 3 models" in advice.why
