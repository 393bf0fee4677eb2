"""10,000 runs on 500 virtual slices of three sizes, with preemptions, to the end, with every invariant checked.

    python benchmarks/scheduler_10000.py [--runs 10000] [--slices 500] [--seed 0]

Prints the seconds it took, the events, and what happened; ends with status 1 if a run was lost. Cheap invariants are
checked after each event, all of them now and then and at the end. About a quarter of a minute on an idle core.
"""

import argparse
import sys
import time

from dit_grid.orchestrator.core import Run
from dit_grid.orchestrator.simulation import Faults, Pace, simulate

KINDS = {"v3-32": 4, "v3-128": 16, "v3-256": 32}
"""Slice type -> hosts."""

FAULTS = Faults(preemption=0.1, kill=0.02, process=0.02, hang=0.02, storage=0.02, broken=0.01, nan=0.01)


def grid(count: int) -> tuple[list[Run], dict[str, Pace]]:
    """Return so many runs of a few sizes and lengths, and how they go."""
    runs, paces = [], {}
    for number in range(count):
        kind = list(KINDS)[number % len(KINDS)]
        steps, pace_s = 10_000 * (1 + number % 5), 0.1 * (1 + number % 3)
        run = Run(
            f"run-{number:05d}", kind, 1, priority=number % 2, steps=steps, macs_per_step=10**12 + number,
            report_steps=2_500, seconds_per_step=pace_s, usd_per_hour=100.0,
        )  # fmt: skip
        runs.append(run)
        paces[run.id] = Pace(
            pace_s, checkpoint_every=5_000, report_every=2_500, evaluate_every=10_000, evaluation_s=120.0
        )
    return runs, paces


def main() -> int:
    """Run the campaign and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--slices", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    runs, paces = grid(asked.runs)
    slices = dict.fromkeys(KINDS, asked.slices // len(KINDS))
    slices["v3-32"] += asked.slices % len(KINDS)
    began = time.perf_counter()
    found = simulate(runs, paces, slices, hosts=KINDS, faults=FAULTS, seed=asked.seed)
    seconds = time.perf_counter() - began
    print(f"{seconds:.1f} s for {found.events:,} events: {found.starts:,} starts, {found.preemptions:,} preemptions")
    print(f"{found.done:,} done, {found.failed:,} failed, {found.unfinished} lost; makespan {found.makespan_h:.1f} h")
    print(f"idle {found.idle:.1%}, run again {found.lost:.1%}; ends by class: {dict(found.classes)}")
    exact = found.total_macs == found.productive_macs + found.wasted_macs
    return 0 if exact and not found.unfinished and found.done + found.failed == asked.runs else 1


if __name__ == "__main__":
    sys.exit(main())
