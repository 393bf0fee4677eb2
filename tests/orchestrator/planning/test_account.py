"""What a launch says at its end that it held and was billed, against the books of the virtual cluster."""

from pathlib import Path

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.orchestrator import core
from dit_grid.orchestrator.core import Run
from dit_grid.orchestrator.driving.under_lease import _spent
from dit_grid.orchestrator.planning.account import account
from dit_grid.orchestrator.simulation import Pace, simulate

GRID = Path(__file__).parents[3] / "experiments" / "grid.yaml"


def ended(runs, slices, pools=None):
    """The last state of a campaign, and what the virtual cluster says of it."""
    states: list[core.State] = []
    outcome = simulate(runs, {run.id: Pace(1.0, 500) for run in runs}, slices, pools=pools, watch=states.append)
    return states[-1], outcome


def test_it_is_what_the_cluster_had_from_the_first_start_to_the_end_and_what_runs_had_of_it():
    price = load_spec(GRID).plan
    runs = [Run(f"r{i}", "v3-32", 1, steps=1000, usd_per_hour=64.0) for i in range(3)]
    state, outcome = ended(runs, {"v3-32": 2, "v3-64": 1})
    found = account(state, price)
    assert found.held_hours == pytest.approx(outcome.slice_hours)
    assert found.billed_hours == pytest.approx(outcome.billed_hours)
    assert found.held_usd == pytest.approx(outcome.usd)
    assert found.billed_usd == pytest.approx(outcome.makespan_h * (2 * 64 + 128))
    assert _spent(state, load_spec(GRID)) == {"spent": found.line}


def test_without_a_price_it_is_hours_and_without_slices_nothing():
    price = load_spec(GRID).plan.model_copy(update={"usd_per_core_hour": None})
    state, _ = ended([Run("r", "v3-32", 1, steps=100)], {"v3-32": 1})
    assert "USD" not in account(state, price).line
    assert "slice-hours" in account(state, price).line
    state, _ = ended([Run("r", "cpu", 1, steps=100)], {}, {"cpu": 1})
    assert account(state, price) is None
