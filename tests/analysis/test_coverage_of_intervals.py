"""Every interval holds the truth at its stated rate, over planted sets; benchmarks/coverage.py is the long version."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "coverage.py"


@pytest.fixture(scope="module")
def benchmark():
    specification: Any = importlib.util.spec_from_file_location("coverage_benchmark", BENCHMARK)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


QUICK = {"power_exponent": 100, "correlation": 100, "known_noise": 60, "many_points": 40, "best_size": 30}


@pytest.mark.parametrize("trial", QUICK)
def test_nominal_95_per_cent_intervals_hold_the_truth(benchmark, trial):
    sets = QUICK[trial]
    missed = sets - sets * benchmark.coverage(getattr(benchmark, trial), sets)
    # The number missed is binomial with mean 0.05 n; beyond three standard deviations one run in a thousand fails,
    # and the seeds are fixed, so none does by chance after the first.
    spread = 3 * (0.05 * 0.95 * sets) ** 0.5
    assert ((0.05 * sets - spread <= missed) & (missed <= 0.05 * sets + spread)).all(), missed.to_dict()


KNOWN_SHORT = ("bootstrap, exponent",)
"""The bootstrap of a power law's exponent from sixty runs with skewed noise: 93.0 % over 1,500 sets, where the t
interval holds 95.3 %."""


@pytest.mark.slow
@pytest.mark.parametrize("trial", ["floor_along_steps", "along_training", "new_model", "chinchilla", *QUICK])
def test_five_hundred_sets_lie_between_93_and_97_per_cent(benchmark, trial):
    held = benchmark.coverage(getattr(benchmark, trial), 500)
    held = held[~held.index.str.startswith("(")]  # percentiles are shown for comparison and known to be too wide
    # A true 95 % lies within 92 to 98 in all but one of three hundred such counts; the mean of a trial's intervals
    # has to lie within 93 to 97.
    good = held.drop(list(KNOWN_SHORT), errors="ignore")
    assert (held >= 0.90).all(), held.to_dict()
    assert good.between(0.92, 0.98).all(), good.to_dict()
    assert 0.93 <= good.mean() <= 0.97
