"""A planted sweep: the twelve models' law, worse by a parabola in ln rate from an optimum that moves with size."""

import json

import numpy as np
import pandas as pd

from dit_grid.analysis.results.frames import assemble

RATE = "train.optimizer.learning_rate"
DROPOUT = "train.class_dropout"
BEST, MOVES, BENDS = 2e-3, -0.3, 0.3
"""The optimum of a network of 100,000 parameters, its exponent of parameters, and ln value per squared ln rate."""

FACTOR_2 = tuple(2.0**k * 1e-4 for k in range(9))


def optimum(params):
    return BEST * (params / 1e5) ** MOVES


def swept_tables(
    planted, rates=FACTOR_2, seeds=(0,), noise=0.0, dropouts=(None,), rules=("standard",), bends=BENDS, **grid
):
    """runs, train, evals, events, states of every model at every rate, dropout, rule and seed.

    `dropouts` multiply values by 1 + (dropout - 0.1)², so 0.1 is best; under the rule mup the optimum does not move.
    """
    rng = np.random.default_rng(7)
    base = planted.tables(seeds=(0,), **grid)
    runs, evals = [], []
    for run in base[0].to_dict("records"):
        of_run = base[2][base[2]["run_id"] == run["run_id"]]
        for rule in rules:
            for dropout in dropouts:
                for rate in rates:
                    best = BEST if rule == "mup" else optimum(run["params"])
                    worse = bends * np.log(rate / best) ** 2 + np.log1p(0 if dropout is None else (dropout - 0.1) ** 2)
                    for seed in seeds:
                        name = f"{run['run_id'][:-7]}-{rule[0]}-{dropout or 0:g}-{rate:g}-{seed}"
                        runs.append(run | {"run_id": name, "seed": seed, "spec": spec_of(run, rule, rate, dropout)})
                        factor = np.exp(worse + rng.normal(0, noise))
                        evals.append(of_run.assign(run_id=name, value=of_run["value"] * factor))
    table = pd.DataFrame(runs, columns=base[0].columns)
    return table, base[1].head(0), pd.concat(evals), base[3], dict.fromkeys(table["run_id"], "done")


def spec_of(run, rule, rate, dropout):
    train = {"optimizer": {"name": "adamw", "learning_rate": rate}, "parametrization": rule}
    if dropout is not None:
        train["class_dropout"] = dropout
    return json.dumps({"model": {"size": run["size"], "patch": run["patch"]}, "train": train})


def swept(planted, lost=(), **settings):
    """Results of a planted sweep; runs whose name begins like one of `lost` have no value and never ran."""
    runs, train, evals, events, states = swept_tables(planted, **settings)
    gone = [name for name in states if name.startswith(tuple(lost))] if lost else []
    evals = evals[~evals["run_id"].isin(gone)]
    return assemble(runs, train, evals, events, {n: s for n, s in states.items() if n not in gone})
