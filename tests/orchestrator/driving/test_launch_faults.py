"""The seeded faults of `benchmarks/launch_faults.py`, each once: equal bits, nothing left, every run done.

Each has a quick test as well: killed workers and drivers in `test_launch`; hosts, boots, clocks, frozen drivers and
copied stores in `test_lost_leases`; moved stores, flipped bits in `test_train`, `test_store_hostile`, `test_latents`.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "launch_faults.py"


def figures(folder, kinds, *arguments):
    """The figures of the schedule with each of these kinds once."""
    command = [sys.executable, str(BENCHMARK), "--folder", str(folder), "--kinds", ",".join(kinds)]
    command += ["--faults", str(len(kinds)), "--minutes", "15", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1000)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_small_grid_ends_with_the_same_bits_through_one_fault_of_every_kind(tmp_path):
    kinds = (
        "kill_worker", "stop_worker", "kill_driver", "power_cut", "other_host", "clocks_apart", "freeze_driver",
        "replace_driver", "copy_store", "move_store", "flip_checkpoint", "flip_segment", "flip_journal", "flip_latents",
    )  # fmt: skip
    found = figures(tmp_path, kinds, "--steps", "4000")
    assert sum(found["kinds"].values()) == len(kinds)
    assert found["good"]
