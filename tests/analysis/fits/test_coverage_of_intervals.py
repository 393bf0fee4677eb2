"""Every interval holds the truth at its stated rate, over planted sets; benchmarks/coverage.py is the long version."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "coverage.py"


@pytest.fixture(scope="module")
def benchmark():
    specification: Any = importlib.util.spec_from_file_location("coverage_benchmark", BENCHMARK)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


QUICK = {
    "power_exponent": 100,
    "new_model": 100,
    "correlation": 100,
    "known_noise": 60,
    "many_points": 40,
    "best_size": 30,
}


@pytest.mark.parametrize("trial", QUICK)
def test_nominal_95_per_cent_intervals_hold_the_truth(benchmark, trial):
    sets = QUICK[trial]
    missed = sets - sets * benchmark.coverage(getattr(benchmark, trial), sets)
    # The number missed is binomial with mean 0.05 n; beyond three standard deviations one run in a thousand fails,
    # and the seeds are fixed, so none does by chance after the first.
    spread = 3 * (0.05 * 0.95 * sets) ** 0.5
    assert ((0.05 * sets - spread <= missed) & (missed <= 0.05 * sets + spread)).all(), missed.to_dict()


@pytest.mark.slow
@pytest.mark.parametrize("trial", [*QUICK, "chosen_form", "floor_along_steps", "along_training", "chinchilla"])
def test_over_fifteen_hundred_sets_each_interval_lies_between_93_and_97_per_cent(benchmark, trial):
    # Over 500 sets chance alone (one point) puts one right interval of twenty outside; over 1,500 hardly one of 500.
    held = benchmark.coverage(getattr(benchmark, trial), 1500)
    held = held[~held.index.str.startswith("(")]  # percentiles are shown for comparison and known to be too wide
    assert held.between(0.93, 0.97).all(), held.to_dict()
