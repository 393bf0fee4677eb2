"""Delay from a flush of the store to W&B's offline file and to TensorBoard's, with a mirror beside the writer.

    python benchmarks/tracking_delay.py                      60 flushes, one every 2 s, to both
    python benchmarks/tracking_delay.py --flushes 5          a quick look

Needs the extras `wandb` and `tensorboard`. A mirror runs in a process of its own, as a launch has it; this one flushes
a row, then reads the trackers' files until they hold it. The mirror looks once a second, so half of that is the wait.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from dit_grid.experiments.spec.track import TrackSpec
from dit_grid.experiments.store import RowWriter, Store
from dit_grid.experiments.tracking import NotATrackerError, tracking_folder
from dit_grid.experiments.tracking.tensorboard_events import EVENT_FILES, events
from dit_grid.experiments.tracking.wandb_files import read_wandb
from dit_grid.orchestrator.commands.track import mirrored


def wandb_has(tracking: Path, step: int) -> bool:
    """Whether W&B's offline file holds the step."""
    try:
        return any(step in run.rows for run in read_wandb(tracking))
    except NotATrackerError:  # its head is not written yet
        return False


def tensorboard_has(tracking: Path, step: int) -> bool:
    """Whether an event file holds the step."""
    return any(found == step for file in tracking.rglob(EVENT_FILES) for found, *_ in events(file))


HOLDERS = {"wandb": wandb_has, "tensorboard": tensorboard_has}


def delays(writer: RowWriter, tracking: Path, step: int, names: list[str]) -> dict[str, float]:
    """Tracker -> seconds from the end of a flush until its file holds the row."""
    writer.train({"step": step, "loss": 1 / step})
    writer.flush()
    began, found = time.monotonic(), {}
    while len(found) < len(names) and time.monotonic() - began < 60:
        for name in names:
            if name not in found and HOLDERS[name](tracking, step):
                found[name] = time.monotonic() - began
        time.sleep(0.01)
    return found


def main() -> None:
    """Flush, wait, and print the delays of each tracker."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flushes", type=int, default=60)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between flushes")
    parser.add_argument("--to", nargs="+", choices=list(HOLDERS), default=list(HOLDERS))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store.create(f"{folder}/store")
        store.add_run({"run_id": "r", "model": "S/8", "spec": "{}", "experiment": "delay"})
        tracking = tracking_folder(store.paths.root)
        asked = [TrackSpec.model_validate(name) for name in args.to]
        with mirrored(store.paths.root, asked), store.writer(store.begin_attempt("r", 0), flush_s=1e9) as writer:
            delays(writer, tracking, 1, args.to)  # the mirror's start, and of W&B its run's
            found = []
            for step in range(2, args.flushes + 2):
                time.sleep(args.every)
                found.append(delays(writer, tracking, step, args.to))
    for name in args.to:
        values = sorted(one[name] for one in found if name in one)
        if values:
            middle = statistics.median(values)
            print(f"{name}: {len(values)} of {args.flushes} flushes seen; "
                  f"delay median {middle:.2f} s, largest {values[-1]:.2f} s")  # fmt: skip
        else:
            print(f"{name}: no flush was seen")


if __name__ == "__main__":
    main()
