"""What a launch says at its end that it held and was billed, against the books of the virtual cluster."""

from pathlib import Path

import pytest

from dit_grid.experiments.spec import BudgetSpec, ClusterSpec, load_spec
from dit_grid.orchestrator import core
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.core import Run
from dit_grid.orchestrator.core.events import ClusterSeen, SliceSeen, Tick
from dit_grid.orchestrator.driving.under_lease import _spent
from dit_grid.orchestrator.planning.account import account, check_budget, tariff
from dit_grid.orchestrator.simulation import Faults, Pace, simulate

GRID = Path(__file__).parents[3] / "experiments" / "grid.yaml"


def ended(runs, slices, pools=None, **more):
    """The last state of a campaign, and what the virtual cluster says of it."""
    states: list[core.State] = []
    outcome = simulate(runs, {run.id: Pace(1.0, 500) for run in runs}, slices, pools=pools, watch=states.append, **more)
    return states[-1], outcome


def test_it_is_what_the_cluster_had_from_the_first_start_to_the_end_and_what_runs_had_of_it():
    price = load_spec(GRID).plan
    runs = [Run(f"r{i}", "v3-32", 1, steps=1000, usd_per_hour=32.0) for i in range(3)]
    state, outcome = ended(runs, {"v3-32": 2, "v3-64": 1}, tariff=tariff(load_spec(GRID)))
    found = account(state, price)
    assert found.held_hours == pytest.approx(outcome.slice_hours)
    assert found.billed_hours == pytest.approx(outcome.billed_hours)
    assert found.held_usd == pytest.approx(outcome.usd)
    assert found.billed_usd == pytest.approx(outcome.makespan_h * (2 * 32 + 64))
    assert _spent(state, load_spec(GRID)) == {"spent": found.line}


def test_a_slice_that_was_taken_away_is_billed_as_the_simulator_bills_it():
    """One of two slices is taken and none comes for it; the run ends on the other."""
    runs = [Run("r", "v3-32", 1, steps=5000, usd_per_hour=32.0)]
    faults = Faults(preemption=0.5, back_s=1e9, noticed=0.0)
    state, outcome = ended(runs, {"v3-32": 2}, faults=faults, seed=1)
    assert len(state.ledger.slices) == 1
    assert account(state, load_spec(GRID).plan).billed_hours == pytest.approx(outcome.billed_hours)
    assert outcome.billed_hours == pytest.approx(2 * outcome.makespan_h)


def test_dollars_that_would_cap_nothing_are_refused_in_a_line():
    spec = load_spec(GRID)
    spec = spec.model_copy(update={"cluster": ClusterSpec(budget=BudgetSpec(usd=100.0))})
    check_budget(spec)
    abroad = spec.model_copy(
        update={"plan": spec.plan.model_copy(update={"slices": {"v2-8": 1}, "region": "asia-east1"})}
    )
    with pytest.raises(RequestError, match=r"usd 100 would cap nothing: no on-demand price of v2-8 in asia-east1"):
        check_budget(abroad)


def test_earlier_launches_are_no_part_of_a_launchs_account():
    spent = core.Spending(slice_s=7200.0, usd=64.0, billed_s=10800.0, billed_usd=96.0)
    state = core.initial([Run("r", "v3-32", 1, steps=10, usd_per_hour=32.0)], spent=spent)
    state, _ = core.advance(state, ClusterSeen(0.0, {}, (SliceSeen("a", "v3-32", ("h",)),)))
    state, _ = core.advance(state, Tick(3600.0))
    assert account(state, load_spec(GRID).plan) == (1.0, 1.0, 32.0, 32.0, "")


def test_without_a_price_it_is_hours_and_without_slices_nothing():
    price = load_spec(GRID).plan.model_copy(update={"price_rows": ()})
    state, _ = ended([Run("r", "v3-32", 1, steps=100)], {"v3-32": 1})
    assert "USD" not in account(state, price).line
    assert "slice-hours" in account(state, price).line
    state, _ = ended([Run("r", "cpu", 1, steps=100)], {}, {"cpu": 1})
    assert account(state, price) is None
