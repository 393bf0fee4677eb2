"""1,000 seeds of a twelve-run grid with everything going wrong: 0 runs lost, 0 doubled, 0 slices booked twice.

    python benchmarks/scheduler_soak.py [--seeds 1000] [--first 0]

Kills, drains, hangs, NaNs, memory running out, broken slices, storage failures, drivers that die. The virtual cluster
keeps its own books and refuses an order that would run a run or book a slice twice; every invariant of the core is
checked at the end of every driver, the cheap ones after every event. About half a minute on an idle core.
"""

import argparse
import sys
import time
from collections import Counter

from dit_grid.orchestrator.core import Run
from dit_grid.orchestrator.simulation import Faults, Pace, simulate

SLICES = {"v3-32": 2, "v3-64": 2, "v3-128": 1}
HOSTS = {"v3-32": 4, "v3-64": 8, "v3-128": 16}
FAULTS = Faults(
    preemption=0.3, kill=0.1, process=0.1, hang=0.1, storage=0.1, broken=0.05, driver=0.3, nan=0.05, out_of_memory=0.05
)


def grid() -> tuple[list[Run], dict[str, Pace]]:
    """Return twelve runs of three slice sizes and four lengths, and how they go."""
    runs = [
        Run(
            f"run-{number:02d}", list(SLICES)[number % 3], 1, priority=number % 2, steps=1000 * (1 + number % 4),
            macs_per_step=10**15 + number, seconds_per_step=1.0, usd_per_hour=10.0,
        )
        for number in range(12)
    ]  # fmt: skip
    return runs, {run.id: Pace(1.0, 500, report_every=100, evaluate_every=1000, evaluation_s=60.0) for run in runs}


def main() -> int:
    """Play the campaigns and print what happened; status 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    runs, paces = grid()
    classes: Counter[str] = Counter()
    broken: list[str] = []
    starts = lost = 0
    began = time.perf_counter()
    for seed in range(asked.first, asked.first + asked.seeds):
        try:
            found = simulate(runs, paces, SLICES, hosts=HOSTS, faults=FAULTS, seed=seed)
        except (AssertionError, ValueError) as error:
            broken.append(f"seed {seed}: {error}")
            continue
        classes.update(found.classes)
        starts += found.starts
        lost += len(runs) - found.done - found.failed
        if found.productive_macs + found.wasted_macs != found.total_macs:
            broken.append(f"seed {seed}: compute does not add up")
    print(f"{asked.seeds} campaigns of {len(runs)} runs in {time.perf_counter() - began:.1f} s, {starts:,} starts")
    print(f"lost {lost}; promises broken {len(broken)} (doubled, double-booked, or compute that does not add up)")
    print("ends of gangs by class:", ", ".join(f"{count:,} {name}" for name, count in classes.most_common()))
    print("\n".join(broken[:20]))
    return 1 if lost or broken else 0


if __name__ == "__main__":
    sys.exit(main())
