"""Wall time and law of the digits grid, from nothing: each seed a fresh store and an empty cache of compiled programs.

    uv run python benchmarks/digits_grid.py            three seeds, six minutes on two idle cores
    uv run python benchmarks/digits_grid.py --seeds 1 --first 2
    uv run python benchmarks/digits_grid.py --folder seeds     keeps the stores, as seeds/seed-0 and so on
    uv run python benchmarks/digits_grid.py --seeds 1 --steps 10   to see that it works: no law to speak of

Prints a row a seed: seconds from the command to its end and to the first update of any model, the share of the cores'
time that evaluations took, the correlation of log distance with log GMACs, whether the distance falls with every size
at each patch and with every patch at each size, where accuracy does not rise with size, the least accuracy, and
distance and accuracy of XL/2. Stores that are kept can be looked at (`dit-grid report seeds/seed-0`) and tried for
forecasts (`benchmarks/backtest_forecast.py --stores seeds/*`).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml

from dit_grid.analysis import Results, law, load

SIZES = ["S", "B", "L", "XL"]
SPEC = Path(__file__).parents[1] / "experiments" / "digits.yaml"


def main() -> None:
    """Run the grid for each seed and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default 3)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--folder", type=Path, help="keep the stores here; a seed that is there already is refused")
    parser.add_argument("--steps", type=int, help="updates of a run, instead of the spec's")
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.seeds)
    there = [str(place) for seed in seeds if asked.folder and (place := kept(asked.folder, seed)).exists()]
    if there:
        raise SystemExit(f"{', '.join(there)}: already there, and only a new store can be timed; name another --folder")
    print(f"seed  seconds  first step  measuring  {'r':>7}  falls  accuracy rises         least  XL/2", flush=True)
    for seed in seeds:
        with tempfile.TemporaryDirectory() as scratch:
            store = kept((asked.folder or Path(scratch)).absolute(), seed)
            began = time.time()
            seconds = launch(store, seed, asked.steps, Path(scratch))
            print(report(store, seed, seconds, began), flush=True)


def kept(folder: Path, seed: int) -> Path:
    """Return where in `folder` the store of a seed is."""
    return folder / f"seed-{seed}"


def launch(store: Path, seed: int, steps: int | None, scratch: Path) -> float:
    """Launch the grid with this seed, its cache of compiled programs in `scratch`; return the seconds it took."""
    text = yaml.safe_load(SPEC.read_text()) | {"store": str(store), "seed": seed}
    if steps:
        text["train"]["steps"] = text["evaluate"]["every"] = steps
        text["train"]["log_every"] = text["execution"]["steps_per_call"] = max(1, steps // 2)
    spec = scratch / SPEC.name
    spec.write_text(yaml.safe_dump(text))
    environment = os.environ | {"XDG_CACHE_HOME": str(scratch / "cache")}
    command = [sys.executable, "-m", "dit_grid.orchestrator", "launch", str(spec)]
    started = time.monotonic()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def report(store: Path, seed: int, seconds: float, began: float) -> str:
    """Return the row of one seed."""
    results = load(str(store))
    found = law(results, "fd_conv")
    r = found.correlation.r if found.correlation else float("nan")
    ends = results.evals[results.evals["step"] == results.evals["steps"]]
    table = ends.pivot_table("value", ["metric", "size"], "patch").reindex(SIZES, level="size")
    distance, accuracy = table.loc["fd_conv"], table.loc["accuracy"]
    falls = (distance.diff().iloc[1:] < 0).all(axis=None) and (distance.T.diff().iloc[1:] > 0).all(axis=None)
    steps = accuracy.diff().iloc[1:].stack()
    not_rising = [f"{size}/{patch} {by:+.3f}" for (size, patch), by in steps.items() if by <= 0]
    first, measured = first_step_unix_s(results.train) - began, measuring(results, seconds)
    return (
        f"{seed:4}  {seconds:7.1f}  {first:10.1f}  {measured:9.2f}  {r:7.4f}  {'yes' if falls else 'no':5}  "
        f"{', '.join(not_rising) or 'yes':21}  {accuracy.min(axis=None):.3f}  {distance.loc['XL', 2]:.2f} "
        f"({accuracy.loc['XL', 2]:.3f})"
    )


def measuring(results: Results, seconds: float) -> float:
    """Return the share of the cores' time that evaluations took, compilation of theirs included."""
    rows = results.evals.drop_duplicates(["run_id", "step", "seconds"])
    return float(rows["seconds"].sum() / (seconds * len(os.sched_getaffinity(0))))


def first_step_unix_s(train: pd.DataFrame) -> float:
    """Return when the first update ended: a run's first window, less its other updates at the second window's rate."""
    windows = train.sort_values(["run_id", "step"]).groupby("run_id")[["step", "wall_unix_s", "steps_per_s"]]
    first, second = windows.nth(0), windows.nth(1)
    return float((first["wall_unix_s"].to_numpy() - (first["step"] - 1) / second["steps_per_s"].to_numpy()).min())


if __name__ == "__main__":
    main()
