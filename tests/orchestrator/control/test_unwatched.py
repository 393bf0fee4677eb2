"""What a driver that died left uncounted: told from its journal, bounded by what the next one finds."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from immutables import Map

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.spec.cluster import BudgetSpec, ClusterSpec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator import core
from dit_grid.orchestrator.backends.contract import InProcess
from dit_grid.orchestrator.control import journal
from dit_grid.orchestrator.control.unwatched import left_open, unwatched
from dit_grid.orchestrator.core.events import ClusterSeen, Gang, GangStarted, SliceSeen, Tick
from dit_grid.orchestrator.driving.loop import drive
from dit_grid.orchestrator.planning.account import account

GRID = Path(__file__).parents[3] / "experiments" / "grid.yaml"
X, Y = Gang("x", 1), Gang("y", 1)
USD = 32.0
HOUR_S = 3600.0
GAP_S = 2 * HOUR_S
TARIFF = core.Tariff(Map({"v3-32": USD}))
RUNS = [core.Run(name, "v3-32", 1, steps=10**6, usd_per_hour=USD) for name in "xy"]


def cluster(at, *names):
    return ClusterSeen(
        at, {}, tuple(SliceSeen(name, "v3-32", tuple(f"{name}-{i}" for i in range(4))) for name in names)
    )


@pytest.fixture
def store(tmp_path):
    return Store.create(str(tmp_path / "store"))


def driven(store, *events, tariff=TARIFF, runs=RUNS, options=ClusterSpec()):  # noqa: B008  (frozen)
    """Write the journal of a driver that was told these events and died, without a word of what it spent."""
    state = core.initial(runs, options, tariff=tariff)
    with store.journal(f"driver-{len(set(store.events()['journal'].to_pylist()))}") as lines:
        journal.open_with(lines, state)
        for event in events:
            state, actions = core.advance(state, event)
            journal.record(lines, event, actions)
    return state


def two_slices_for_an_hour(store, **more):
    return driven(
        store, cluster(0.0, "a", "b"), GangStarted(1.0, X, "a"), GangStarted(1.0, Y, "b"), Tick(HOUR_S), **more
    )


def missed(store, alive, seen):
    left = left_open(store)
    assert left is not None
    return unwatched(left, alive, seen, GAP_S)


def living(*gangs):
    return [GangStarted(0.0, gang, name, adopted=True) for gang, name in gangs]


def test_slices_that_are_still_there_were_billed_and_gangs_that_live_held_them(store):
    """An hour that was never said, and two in which nobody looked: six slice-hours, and twelve when these are over."""
    two_slices_for_an_hour(store)
    found = missed(store, living((X, "a"), (Y, "b")), cluster(0.0, "a", "b"))
    hours = (found.slice_s / HOUR_S, found.billed_s / HOUR_S, found.usd / USD, found.billed_usd / USD)
    assert hours == pytest.approx((6, 6, 6, 6))
    assert (found.most, found.at_most, found.seconds) == ({"v3-32": 2}, "", GAP_S)


def test_a_slice_that_is_gone_is_billed_at_most_so_long_and_the_account_says_so(store):
    two_slices_for_an_hour(store)
    seen = cluster(0.0, "a", "c")
    found = missed(store, living((X, "a")), seen)
    assert found.billed_s / HOUR_S == pytest.approx(6)
    assert found.at_most == "slice b is gone; y is no more on slice b"
    state = core.initial(RUNS, tariff=TARIFF)
    for event in (*living((X, "a")), found, seen, Tick(HOUR_S)):
        state, _ = core.advance(state, event)
    said = account(state, load_spec(GRID).plan)
    assert said.billed_hours == pytest.approx(6 + 2)
    assert said.line.endswith(
        "; of the bill at most 6 slice-hours, 192.00 USD are of 2 hours in which no driver was alive (slice b is gone; "
        "y is no more on slice b; when is not known)"
    )


def test_a_slice_that_was_away_when_the_driver_died_is_billed_on(store):
    driven(store, cluster(0.0, "a", "b"), cluster(100.0, "a"), Tick(HOUR_S), runs=RUNS[:1])
    found = missed(store, living((X, "a")), cluster(0.0, "a"))
    assert (found.billed_s / HOUR_S, found.slice_s / HOUR_S, found.most) == (
        pytest.approx(6),
        pytest.approx(3),
        {"v3-32": 2},
    )
    state = core.initial(RUNS[:1], tariff=TARIFF)
    for event in (found, cluster(0.0, "a"), Tick(HOUR_S)):
        state, _ = core.advance(state, event)
    assert state.spending.billed_s / HOUR_S == pytest.approx(6 + 2)


def test_a_cluster_made_anew_is_billed_by_what_it_has(store):
    two_slices_for_an_hour(store)
    found = missed(store, [], cluster(0.0, "c"))
    assert (found.most, found.at_most != "") == ({}, True)


def test_autoscaled_slices_are_billed_by_the_gangs_that_held_them(store):
    two_slices_for_an_hour(store, tariff=replace(TARIFF, stays=False))
    found = missed(store, living((X, "a")), cluster(0.0, "a"))
    assert (found.billed_s, found.slice_s) == (pytest.approx(6 * HOUR_S), pytest.approx(6 * HOUR_S))
    assert found.at_most == "y is no more on slice b"


def test_cores_of_gangs_that_are_gone_are_held_by_nobody(store):
    runs = [core.Run("x", "cpu", 1, steps=10**6)]
    driven(
        store, ClusterSeen(0.0, {"cpu": 1}), GangStarted(0.0, X, None), Tick(HOUR_S), runs=runs, tariff=core.Tariff()
    )
    found = missed(store, [], ClusterSeen(0.0, {"cpu": 1}))
    assert (found.slice_s, found.billed_s, found.at_most) == (pytest.approx(HOUR_S), pytest.approx(HOUR_S), "")


def test_what_was_said_before_is_not_counted_again(store):
    state = two_slices_for_an_hour(store)
    with store.journal("driver-0") as lines:
        journal.record_spending(lines, state.spending, core.Spending())
    found = missed(store, living((X, "a"), (Y, "b")), cluster(0.0, "a", "b"))
    assert found.billed_s == pytest.approx(2 * GAP_S)
    assert journal.spent_before(store).billed_s == pytest.approx(2 * HOUR_S)


def test_what_was_missed_counts_under_the_cap(store):
    two_slices_for_an_hour(store)
    found = missed(store, [], cluster(0.0, "a", "b"))
    options = ClusterSpec(budget=BudgetSpec(usd=6 * USD))
    state, _ = core.advance(core.initial(RUNS, options, tariff=TARIFF), found)
    state, actions = core.advance(state, cluster(0.0, "a", "b"))
    assert (actions, state.finished) == ((), True)
    assert "192 of 192 USD billed" in core.why(state, "x") or "spent (6 slice-hours, 192 USD billed" in core.why(
        state, "x"
    )


def test_a_launch_that_came_to_its_end_leaves_nothing_open(store):
    assert left_open(store) is None
    two_slices_for_an_hour(store)
    driven(store, cluster(0.0), runs=[])
    assert left_open(store) is None


@pytest.mark.parametrize(
    "began", [{}, {"cluster": {}, "spent": {"x": 1}}, {"cluster": {"order": "sideways"}, "spent": {}}]
)
def test_a_journal_of_another_version_says_nothing(store, began):
    with store.journal("driver-0") as lines:
        lines.event(journal.BEGAN, **began)
        journal.record(lines, Tick(1.0), ())
    assert left_open(store) is None


def test_the_next_driver_counts_it_first_and_says_so_in_its_own_journal(store):
    """So that a launch after that one reads it like all else that was spent."""
    runs = [core.Run("x", "cpu", 1, steps=10**6)]
    driven(
        store, ClusterSeen(0.0, {"cpu": 1}), GangStarted(0.0, X, None), Tick(HOUR_S), runs=runs, tariff=core.Tariff()
    )
    began = time.time()
    drive([], store, InProcess(store), cluster=ClusterSpec(budget=BudgetSpec(slice_hours=5)))
    rows = [row for row in store.events().to_pylist() if row["wall_unix_s"] >= began]
    (row,) = [json.loads(row["detail"]) for row in rows if row["kind"] == "Unwatched"]
    assert (row["billed_s"], row["seconds"] < 60) == (pytest.approx(HOUR_S), True)
    assert journal.spent_before(store).billed_s == pytest.approx(HOUR_S)
    assert journal.replayed(rows).finished
