"""A journal on the store: every event and action comes back as it was, and what launches spent adds up."""

import dataclasses
import itertools

import pytest

from dit_grid.experiments.running.training_run import train
from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.spec.cluster import BudgetSpec, ClusterSpec
from dit_grid.experiments.store import Store
from dit_grid.experiments.training.context import Context
from dit_grid.orchestrator import core
from dit_grid.orchestrator.backends.contract import InProcess
from dit_grid.orchestrator.control import journal
from dit_grid.orchestrator.core.events import (
    Asked,
    CheckpointAndStop,
    ClusterSeen,
    Event,
    Gang,
    GangGone,
    GangStarted,
    Kill,
    Progressed,
    RankEnded,
    RankLost,
    Reordered,
    SliceDraining,
    SliceSeen,
    Start,
    StartFailed,
    Tick,
    Unwatched,
)
from dit_grid.orchestrator.driving.loop import drive
from dit_grid.orchestrator.planning.work import record_runs

G = Gang("x", 2)

EVENTS: list[Event] = [
    ClusterSeen(0.1, {"cpu": 2}, (SliceSeen("a", "v3-32", ("w0", None, "w2", "w3"), draining=True),)),
    GangStarted(1 / 3, G, "a", adopted=True),
    StartFailed(2.0, G, "a host never joined", permanent=True),
    Progressed(3.0, G, 100, 50, "evaluating"),
    RankEnded(4.0, G, 3, "nan", 100, "why"),
    RankLost(5.0, G, 1, "host"),
    GangGone(6.0, G, 50),
    SliceDraining(7.0, "a", 37.0),
    Asked(8.0, "pause", ("x", "y")),
    Reordered(9.0, ("y", "x"), "enough is known", True, "because"),
    Unwatched(9.5, 60.0, 60.0, 0.5, 120.0, 1.0, {"v3-32": 2}, "slice a is gone"),
    Tick(10.0),
]

ACTIONS = (Start(G, "a"), CheckpointAndStop(G), Kill(G, stacks=True))


@pytest.fixture
def store(tmp_path):
    return Store.create(str(tmp_path / "store"))


def test_every_event_and_action_comes_back_as_it_was(store):
    assert {type(event) for event in EVENTS} == set(journal.EVENTS.values())
    options = ClusterSpec(order="largest", budget=BudgetSpec(usd=5))
    began = core.initial([core.Run("x", "v3-32", 1, steps=10, step=3)], options, core.Spending(1.5, 2.5))
    with store.journal("driver-1") as events:
        journal.open_with(events, began)
        for event in EVENTS:
            journal.record(events, event, ACTIONS)
    state, told = journal.read(store.events().to_pylist())
    assert state == began
    assert list(told) == [(event, ACTIONS) for event in EVENTS]


def test_what_launches_spent_is_the_last_word_of_each_together(store):
    for name, words in (("driver-1", [1.0, 5.0]), ("driver-2", [2.0])):
        with store.journal(name) as events:
            for hours in words:
                journal.record_spending(events, core.Spending(3600 * hours + 60, 7 * hours), core.Spending(60, 0))
    assert journal.spent_before(store) == core.Spending(3600 * 7.0, 49.0)


def test_a_journal_from_before_bills_were_counted_is_told_again_as_it_was_decided(store):
    """Its budget capped what runs held, and a row of what was spent says only that: the least that was billed."""
    options = ClusterSpec(budget=BudgetSpec(usd=5))
    began = core.initial([core.Run("x", "v3-32", 1, steps=10, usd_per_hour=32.0)], options)
    cluster = began.options.model_dump(mode="json")
    del cluster["budget"]["of"]
    spent = {"slice_s": 0.0, "usd": 0.0, "held": 0, "usd_per_hour": 0.0, "counted_at": None, "exhausted": False}
    run = {key: value for key, value in dataclasses.asdict(began.runs["x"]).items() if key != "id"}
    with store.journal("driver-1") as events:
        events.event(journal.BEGAN, cluster=cluster, spent=spent)
        events.event(journal.RUN, run_id="x", run=run)
        events.event(journal.SPENT, slice_s=3600.0, usd=32.0)
    state, _ = journal.read(store.events().to_pylist())
    assert (state.options.budget.of, dict(state.tariff.usd_per_hour)) == ("held", {})
    assert journal.spent_before(store) == core.Spending(3600.0, 32.0, billed_s=3600.0, billed_usd=32.0)


def test_rows_that_do_not_begin_as_a_journal_are_refused():
    with pytest.raises(ValueError, match="begins with the settings"):
        journal.read([{"kind": "Tick", "run_id": "", "detail": '{"at": 1.0}'}])


def test_a_checkpoint_that_was_passed_over_is_in_the_journal(small_spec, tmp_path):
    how = """
train: {steps: 40, batch: 8, log_every: 10}
evaluate: {every: 40, settings: [{metrics: [heldout_loss], samples: 32}]}
execution: {checkpoint_every: 10, steps_per_call: 10}
"""
    spec = load_spec(small_spec(tmp_path / "small.yaml", tmp_path / "store", how))
    store, run, asked = Store.create(spec.store), spec.networks[0], itertools.count()
    record_runs(spec, store)
    train(run, Context(store, stop_requested=lambda: next(asked) > 0))
    (mark,) = (tmp_path / "store").glob("checkpoints/*/whole.a000001.s000000020.json")
    file = max((mark.parent / "a000001/s000000020").rglob("d/*"), key=lambda file: file.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    drive([run], store, InProcess(store))
    (row,) = [row for row in store.events().to_pylist() if row["kind"] == journal.BAD_CHECKPOINT]
    assert (row["run_id"], row["attempt"]) == (run.id, 2)
    assert "is not what was written" in row["detail"]
    assert journal.replayed(store.events().to_pylist()).finished
