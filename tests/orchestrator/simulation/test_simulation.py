"""Campaigns in virtual time: nothing is lost or booked twice whatever dies, and the same seed is the same campaign."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dit_grid.experiments.spec import BudgetSpec, ClusterSpec, load_spec
from dit_grid.orchestrator.control import journal
from dit_grid.orchestrator.core import Run
from dit_grid.orchestrator.core.invariants import cheap, full
from dit_grid.orchestrator.planning.plan import plan
from dit_grid.orchestrator.simulation import Faults, Pace, simulate
from dit_grid.orchestrator.simulation.campaign import Lines
from dit_grid.orchestrator.simulation.of_spec import campaign as campaign_of

GRID = Path(__file__).parents[3] / "experiments" / "grid.yaml"

SLICES, HOSTS = {"v3-32": 2, "v3-64": 1, "v3-128": 1}, {"v3-32": 4, "v3-64": 8, "v3-128": 16}

EVERYTHING = Faults(
    preemption=0.3, kill=0.1, process=0.1, hang=0.1, storage=0.1, broken=0.05, driver=0.2, nan=0.05, out_of_memory=0.05
)


def grid(count=12):
    runs = [
        Run(f"run-{i}", list(SLICES)[i % 3], 1, priority=i % 2, steps=1000 * (1 + i % 4), macs_per_step=10**15 + i,
            seconds_per_step=1.0, usd_per_hour=10.0)
        for i in range(count)
    ]  # fmt: skip
    return runs, {run.id: Pace(1.0, 500, 100, 1000, 60.0) for run in runs}


def campaign(seed, faults=EVERYTHING, lines=None, watch=cheap):
    runs, paces = grid()
    return simulate(runs, paces, SLICES, hosts=HOSTS, faults=faults, seed=seed, lines=lines, watch=watch)


def test_without_faults_a_campaign_takes_what_arithmetic_says():
    """One slice, two runs of 1,000 steps at 1 s: 30 s to start, 60 s to compile, twice 60 s to evaluate, 1 s to end."""
    runs = [Run(f"r{i}", "v3-32", 1, steps=1000, usd_per_hour=36.0) for i in range(2)]
    paces = {run.id: Pace(1.0, 500, evaluate_every=500, evaluation_s=60.0) for run in runs}
    found = simulate(runs, paces, {"v3-32": 1})
    assert found.makespan_h * 3600 == pytest.approx(2 * (30 + 60 + 1000 + 2 * 60 + 1))
    assert found.usd == pytest.approx(found.makespan_h * 36)
    assert (found.done, found.idle, found.lost) == (2, pytest.approx(0), 0)


@pytest.mark.parametrize("block", range(4))
def test_soak_no_run_is_lost_doubled_or_booked_twice(block):
    """The virtual cluster keeps its own books and refuses an order that would run a run, or book a slice, twice."""
    for seed in range(5 * block, 5 * block + 5):
        found = campaign(seed, watch=full if seed % 5 == 0 else cheap)
        assert (found.done + found.failed, found.unfinished) == (12, 0)
        assert found.productive_macs + found.wasted_macs == found.total_macs


def test_the_same_seed_writes_the_same_bytes_in_another_process():
    lines = Lines()
    campaign(7, lines=lines)
    program = (
        "import hashlib, sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_simulation import Lines, campaign\n"
        "lines = Lines(); campaign(7, lines=lines); print(hashlib.sha256(lines.bytes()).hexdigest())"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, os.path.dirname(__file__)], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONHASHSEED": "12345"},
    )  # fmt: skip
    assert found.stdout.strip() == hashlib.sha256(lines.bytes()).hexdigest()


def test_a_journal_told_again_gives_the_same_decisions():
    lines = Lines()
    campaign(3, Faults(preemption=0.5, storage=0.3), lines)
    state = journal.replayed(lines.rows())
    assert state.finished
    rows = lines.rows()
    start = next(i for i, row in enumerate(rows) if row["kind"] == "Start")
    with pytest.raises(ValueError, match="the core decides"):
        journal.replayed(rows[:start] + rows[start + 1 :])


def test_drivers_that_die_restart_nothing():
    """Twenty drivers an hour, and each finds the gangs of the one before: twelve starts for twelve runs."""
    found = campaign(2, Faults(driver=20.0))
    assert (found.done, found.starts, found.lost) == (12, 12, 0)
    assert found.makespan_h == pytest.approx(campaign(2, Faults()).makespan_h)


@pytest.mark.parametrize("seed", range(3))
def test_drivers_that_die_while_gangs_end_neither_start_nor_book_anything_twice(seed):
    """So many that they fall between a run's end and its gang's, and between a gang's failure and its end."""
    runs = [Run(f"r{i}", "v3-32", 1, steps=20, macs_per_step=1, seconds_per_step=0.1) for i in range(40)]
    paces = {run.id: Pace(0.1, 10, start_s=1.0, compile_s=1.0, checkpoint_s=0.5) for run in runs}
    found = simulate(runs, paces, {"v3-32": 2}, faults=Faults(driver=720.0, storage=60.0, process=60.0), seed=seed)
    assert (found.done + found.failed, found.unfinished) == (40, 0)


@pytest.mark.parametrize("seed", range(4))
def test_evaluations_of_their_own_lose_and_double_nothing_whatever_dies(seed):
    """The virtual cluster refuses to measure a checkpoint that is not there, or one that was measured."""
    runs, paces = grid()
    jobs = [
        Run(f"{run.id}.eval-{step}", "v3-8", 1, run.priority, steps=1, macs_per_step=10**12, of=run.id, at_step=step)
        for run in runs for step in range(1000, run.steps + 1, 1000)
    ]  # fmt: skip
    paces = {run.id: Pace(1.0, 600, 100, measured_every=1000) for run in runs}
    paces |= {job.id: Pace(400.0, 1) for job in jobs}
    found = simulate(
        [*runs, *jobs], paces, SLICES | {"v3-8": 2}, hosts=HOSTS, faults=EVERYTHING, seed=seed, watch=full if not seed
        else cheap,
    )  # fmt: skip
    assert (found.done + found.failed, found.unfinished, found.evaluations) == (12, 0, len(jobs))
    assert found.productive_macs + found.wasted_macs == found.total_macs
    assert found.done <= found.evaluated < len(jobs)


@pytest.mark.parametrize("seed", range(3))
def test_a_budget_holds_whatever_dies(seed):
    runs, paces = grid()
    for of in ("held", "billed"):
        options = ClusterSpec(stop_grace_s=60, budget=BudgetSpec(slice_hours=4.0, of=of))
        found = simulate(runs, paces, SLICES, hosts=HOSTS, faults=EVERYTHING, seed=seed, options=options, watch=full)
        assert found.unfinished > 0
        assert 2.0 < (found.slice_hours if of == "held" else found.billed_hours) <= 4.0


def test_a_slice_that_measures_frees_the_one_that_trains():
    """One training of 1,000 steps, measured twice for 3,000 s: inside it, or on another slice; nothing is a hang."""
    run = Run("r", "v3-32", 1, steps=1000, macs_per_step=1)
    inside = simulate([run], {"r": Pace(1.0, 500, evaluate_every=500, evaluation_s=3000.0)}, {"v3-32": 1})
    jobs = [Run(f"r.eval-{step}", "v3-8", 1, steps=1, macs_per_step=1, of="r", at_step=step) for step in (500, 1000)]
    paces = {"r": Pace(1.0, 500, measured_every=500)} | {job.id: Pace(3000.0, 1) for job in jobs}
    apart = simulate([run, *jobs], paces, {"v3-32": 1, "v3-8": 1})
    come_up = 30 + 60
    assert inside.makespan_h * 3600 == pytest.approx(come_up + 1000 + 2 * 3000 + 1)
    assert apart.makespan_h * 3600 == pytest.approx(come_up + 500 + 2 * (come_up + 3000 + 1))
    assert (apart.done, apart.evaluated, apart.classes) == (1, 2, {"done": 3})


def test_preemptions_cost_compute_and_time():
    calm, rough = campaign(1, Faults()), campaign(1, Faults(preemption=1.0, noticed=0.0))
    assert rough.preemptions > 3
    assert calm.lost == 0 < rough.lost
    assert rough.makespan_h > calm.makespan_h


def test_a_plan_is_within_fifteen_percent_of_what_is_simulated():
    spec, faults = load_spec(GRID), Faults(preemption=0.5, noticed=0.0)
    price = spec.plan.model_copy(update={"preemptions_per_hour": 0.5, "restart_s": 90.0})
    planned = sum(row.hours or 0.0 for row in plan(spec.model_copy(update={"plan": price})))
    slices = {"v3-32": 2, "v3-64": 3, "v3-128": 1, "v3-256": 1}
    found = [campaign_of(spec, slices, {}, faults).outcome(seed) for seed in range(4)]
    assert planned == pytest.approx(sum(one.slice_hours for one in found) / len(found), rel=0.15)


def test_thousands_of_runs_come_to_their_end():
    """A small version of benchmarks/scheduler_10000.py."""
    runs, paces = grid(300)
    found = simulate(runs, paces, dict.fromkeys(SLICES, 5), hosts=HOSTS, faults=EVERYTHING, seed=0)
    assert (found.done + found.failed, found.unfinished) == (300, 0)


def test_slices_that_are_not_there_end_the_campaign_with_runs_that_say_so():
    found = simulate([Run("r", "v3-256", 1, steps=10)], {"r": Pace(1.0, 10)}, {"v3-32": 1})
    assert (found.done, found.unfinished) == (0, 1)
