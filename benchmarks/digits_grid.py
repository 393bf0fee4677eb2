"""Wall time and law of the digits grid, from nothing: each seed a fresh store and an empty cache of compiled programs.

    uv run python benchmarks/digits_grid.py            three seeds, about a quarter of an hour on two idle cores
    uv run python benchmarks/digits_grid.py --seeds 1 --first 2

Prints a row a seed: seconds from the command to its end and to the first update of any model, the correlation of log
distance with log GMACs, whether the distance falls with every size at each patch, and the distance of the smallest and
the largest model.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from dit_grid.analysis import law, load

SPEC = Path(__file__).parents[1] / "experiments" / "digits.yaml"


def main() -> None:
    """Run the grid for each seed and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default 3)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default 0)")
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.seeds)
    print("seed  seconds  first step  r(log GMACs, log fd_conv)  falls with size  S/8      XL/2", flush=True)
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            began = time.time()
            seconds = launch(Path(folder), seed)
            print(report(Path(folder) / "store", seed, seconds, began), flush=True)


def launch(folder: Path, seed: int) -> float:
    """Launch the grid with this seed in `folder` and return the seconds it took."""
    spec = folder / "digits.yaml"
    text = re.sub(r"^store: .*$", f"store: {folder / 'store'}", SPEC.read_text(), flags=re.MULTILINE)
    spec.write_text(re.sub(r"^seed: .*$", f"seed: {seed}", text, flags=re.MULTILINE))
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, "-m", "dit_grid.orchestrator.cli", "launch", str(spec)]
    started = time.monotonic()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def report(store: Path, seed: int, seconds: float, began: float) -> str:
    """Return the row of one seed."""
    results = load(str(store))
    found = law(results, "fd_conv")
    value = found.points.set_index("model")["value"]
    r = found.correlation.r if found.correlation else float("nan")
    falls = "yes" if all(found.monotone.values()) else f"not at patch {[p for p, m in found.monotone.items() if not m]}"
    first = first_step_unix_s(results.train) - began
    return f"{seed:4}  {seconds:7.1f}  {first:10.1f}  {r:25.4f}  {falls:15}  {value['S/8']:<8.1f} {value['XL/2']:.2f}"


def first_step_unix_s(train: pd.DataFrame) -> float:
    """Return when the first update ended: a run's first window, less its other updates at the second window's rate."""
    windows = train.sort_values(["run_id", "step"]).groupby("run_id")[["step", "wall_unix_s", "steps_per_s"]]
    first, second = windows.nth(0), windows.nth(1)
    return float((first["wall_unix_s"].to_numpy() - (first["step"] - 1) / second["steps_per_s"].to_numpy()).min())


if __name__ == "__main__":
    main()
