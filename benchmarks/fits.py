"""Processor time and accuracy of the fits: Chinchilla's law on 240 points, its bootstrap, and the twelve-point forms.

    OPENBLAS_NUM_THREADS=1 python benchmarks/fits.py             half a minute
    OPENBLAS_NUM_THREADS=1 python benchmarks/fits.py --quick     a few seconds, for a look

The published Chinchilla data are not in this project, so 240 runs are planted with the published coefficients, over the
published range, with heavy-tailed noise of the size of the published residuals. Goals: the true Huber optimum to 1e-4
of every coefficient in 50 ms; 4,000 refits in 2 s; the 12-point interaction fit with leave-one-out and 4,000 refits in
0.3 s. Times are processor seconds of this process, the best of three; the optimum is the best of 200 searches by BFGS
from random starts.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from dit_grid.analysis.fits import ParamsTokens, SumOfPowers, bootstrap, leave_one_out
from dit_grid.analysis.fits.powers import Problem
from dit_grid.analysis.paper import paper_law

PUBLISHED = np.array([482.01, 2085.43, 1.8172, 0.3478, 0.3658])
"""Besiroglu et al. 2024, Table 1: A, B, E, alpha, beta."""


def planted_runs(n: int = 240, noise: float = 0.0032, seed: int = 0) -> tuple[SumOfPowers, pd.DataFrame]:
    """The law and runs of it, with t-distributed noise on ln loss (3 degrees of freedom)."""
    rng = np.random.default_rng(seed)
    params = np.exp(rng.uniform(np.log(4.4e7), np.log(1.6e10), n))
    flops = np.exp(rng.uniform(np.log(6e18), np.log(3e21), n))
    frame = pd.DataFrame({"params": params, "tokens": flops / (6 * params)})
    law = SumOfPowers(("params", "tokens"), "loss", delta=1e-3)
    return law, frame.assign(loss=np.exp(law.mean(PUBLISHED, frame) + noise * rng.standard_t(3, n)))


def seconds(action: Callable[[], object], times: int = 3) -> float:
    """Processor seconds of the fastest of a few calls."""
    used = []
    for _ in range(times):
        started = time.process_time()
        action()
        used.append(time.process_time() - started)
    return min(used)


def distance_to_optimum(law: SumOfPowers, frame: pd.DataFrame, starts: int) -> tuple[float, float]:
    """The largest relative difference of a coefficient from the best of many searches, and that of the objective."""
    fit, problem = law.fit(frame), Problem.of(law, frame)
    model, rng = problem.model(True), np.random.default_rng(1)
    draws = rng.uniform([-3, -3, -1, 0.1, 0.1], [1, 1, 1, 1, 1], (starts, 5))
    options = {"gtol": 1e-12}
    found = [
        minimize(problem._value_and_gradient, d, (model,), method="BFGS", jac=True, options=options) for d in draws
    ]
    best = min(found, key=lambda result: result.fun)
    coefficients = problem.natural(best.x[None], True)[0]
    return float(np.max(np.abs(fit.theta / coefficients - 1))), float(fit.objective / best.fun - 1)


def spread_ratio(law: SumOfPowers, frame: pd.DataFrame, refits: int) -> float:
    """The largest difference, in per cent, of a standard error from that of refits made one by one from scratch."""
    fit = law.fit(frame)
    batch = bootstrap(fit, frame, refits, seed=42).se().to_numpy()
    counts = np.random.default_rng(42).multinomial(len(frame), np.full(len(frame), 1 / len(frame)), refits)
    single = [law.fit(frame.loc[frame.index.repeat(c)].reset_index(drop=True)).theta for c in counts]
    return float(100 * np.max(np.abs(batch / np.std(single, axis=0, ddof=1) - 1)))


def twelve_points(refits: int) -> None:
    """The interaction form on the paper's points: fit, leave-one-out, refits."""
    points = paper_law().points
    fit = ParamsTokens().fit(points)
    leave_one_out(points, ParamsTokens())
    bootstrap(fit, points, refits)


def main() -> None:
    """Print each figure beside its goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer refits and starts")
    quick = parser.parse_args().quick
    refits, starts, singles = (400, 20, 50) if quick else (4000, 200, 400)
    law, frame = planted_runs()
    fit = law.fit(frame)
    paper_law()  # reading the tables is not part of the fit
    line("point fit, 240 points, ms", 1e3 * seconds(lambda: law.fit(frame)), "50")
    apart, objective = distance_to_optimum(law, frame, starts)
    line(f"  off the best of {starts} searches", apart, f"1e-4; objective {objective:+.1e}")
    line(f"{refits} refits of it, s", seconds(lambda: bootstrap(fit, frame, refits)), "2 for 4,000")
    line(f"  standard errors, {singles} refits, %", spread_ratio(law, frame, singles), "2, of refits one by one")
    line(f"12 points, left out, {refits} refits, s", seconds(lambda: twelve_points(refits)), "0.3 for 4,000")


def line(what: str, value: float, goal: str) -> None:
    """Print a figure beside its goal."""
    print(f"{what:<36} {value:10.3g}   goal {goal}", flush=True)


if __name__ == "__main__":
    main()
