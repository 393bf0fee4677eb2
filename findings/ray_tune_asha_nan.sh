#!/usr/bin/env bash
# Ray Tune 2.60.0: a trial whose loss is NaN is never stopped by ASHA, which stops healthy trials beside it at the first
# rung: NaN is smaller than no cutoff. In a sweep of learning rates the diverged ones so get the whole budget, and
# `get_best_result(filter_nan_and_inf=False)` calls one of them the best.
# Seen, six rates in turn, of which 3 and 4 diverge (max_t 16): lr 4: 16 iterations, nan; 2: 16, 0.5625; 1: 1, 2.0;
#   0.5: 1, 3.0; 0.25: 1, 5.0; 3: 16, nan; best with NaN let in: lr 4
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "ray[tune]==2.60.0" numpy==2.4.6 2>/dev/null
cd "$folder"
RAY_USAGE_STATS_ENABLED=0 timeout 500 "$folder/venv/bin/python" - 2>/dev/null <<'PY'
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

ray.init(num_cpus=1, address="local", include_dashboard=False, log_to_driver=False)

def train(config):
    for step in range(1, 17):
        tune.report({"loss": float("nan") if config["lr"] >= 3 else 1 / config["lr"] + 1 / step})

asha = ASHAScheduler(metric="loss", mode="min", max_t=16, grace_period=1, reduction_factor=2)
results = tune.Tuner(
    train,
    param_space={"lr": tune.grid_search([4, 2, 1, 0.5, 0.25, 3])},
    tune_config=tune.TuneConfig(scheduler=asha, max_concurrent_trials=1),
    run_config=tune.RunConfig(verbose=0, storage_path=str(__import__("os").path.abspath("results"))),
).fit()
ran = {one.config["lr"]: one.metrics["training_iteration"] for one in results}
best = results.get_best_result("loss", "min", filter_nan_and_inf=False).config["lr"]
print("iterations by learning rate:", ran, "best with NaN let in:", best)
assert ran[4] == ran[3] == 16 and ran[1] == ran[0.5] == ran[0.25] == 1 and best in (3, 4)
PY
