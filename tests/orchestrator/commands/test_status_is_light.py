"""A status loads nothing that takes longer than reading the store: no specs, no statistics, no pandas.

Nor what a few calls load unasked: NumPy's masked arrays (`np.median`), Arrow's functions (`sort_by`), and, with every
command, the packages that are installed.
"""

import subprocess
import sys

from dit_grid.experiments.spec.any_run import columns
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.store import Store

PROGRAM = """
import sys
from dit_grid.orchestrator.commands.cli import cli
cli(["status", sys.argv[1]], standalone_mode=False)
heavy = {"pydantic", "yaml", "scipy", "pandas", "jax", "ray", "numpy.ma", "pyarrow.compute", "importlib.metadata"}
print("loaded:", *(heavy & sys.modules.keys()))
"""


def run_of(width, seed=0):
    return RunSpec.model_validate({
        "model": {"size": "S", "patch": 4, "image_size": 8, "width": width, "depth": 1, "heads": 2},
        "data": {"name": "digits"},
        "train": {"steps": 400, "log_every": 10},
        "evaluate": {"every": 100, "settings": [{"metrics": ["heldout_loss"]}]},
        "execution": {"checkpoint_every": 100},
        "seed": seed,
    })  # fmt: skip


def test_a_status_of_runs_at_work_loads_no_specs_and_no_statistics(tmp_path):
    store = Store.create(tmp_path / "store")
    for run in [run_of(width) for width in (8, 12, 16, 24, 32)]:
        store.add_run(columns(run))
        with store.writer(store.begin_attempt(run.id, 0, {"host": "elsewhere", "pid": 1, "device": "cpu"})) as writer:
            for step in range(10, 310, 10):
                writer.train({"step": step, "loss": step**-0.5 * run.model.width**-0.1, "steps_per_s": 4.0})
            writer.eval({"step": 100, "metric": "heldout_loss", "value": 1.0, "protocol": "p", "samples": 297})
    done = subprocess.run([sys.executable, "-c", PROGRAM, store.paths.root], capture_output=True, text=True, check=True)
    *table, loaded = done.stdout.splitlines()
    assert loaded == "loaded:"
    assert "no early alarm" not in done.stdout  # all five were held against their peers
    assert any("5 running" in line for line in table)
    assert "1/4" in done.stdout
