"""Six runs that do nothing, from the command to its end: Ray's start, the scheduling, what is written, and the way out.

Each run reports one number. Ours are runs of a Python trainer; the peer's are trials of a Python function.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from dit_grid.orchestrator.bench.contests import OURS

RUNS = 6
TRAINER = """
def train(run):
    run.log(1, loss=run.config["level"])
    (run.checkpoint_folder(1) / "done").write_text("")
    run.commit(1)
"""
SPEC = f"""
name: nothing
store: store
trainer: "nothing:train"
config: {{}}
grid: {{config.level: {list(range(1, RUNS + 1))}}}
train: {{steps: 1}}
execution: {{resources: {{cpus: 1}}}}
"""
TUNE = f"""
import os
from ray import tune
tune.Tuner(
    lambda config: tune.report({{"loss": config["level"]}}),
    param_space={{"level": tune.grid_search(list(range(1, {RUNS} + 1)))}},
    run_config=tune.RunConfig(storage_path=os.getcwd(), verbose=0),
).fit()
"""


def ours(case: str, threads: int) -> Callable[[], None]:
    """`dit-grid launch` of a fresh store."""

    def launch() -> None:
        folder = Path(tempfile.mkdtemp())
        (folder / "nothing.py").write_text(TRAINER)
        (folder / "nothing.yaml").write_text(SPEC)
        _call(["-m", "dit_grid.orchestrator", "launch", "nothing.yaml"], folder)

    return launch


def ray_tune(case: str, threads: int) -> Callable[[], None]:
    """A program that calls Ray Tune."""
    return lambda: _call(["-c", TUNE], Path(tempfile.mkdtemp()).resolve())


def _call(arguments: list[str], folder: Path) -> None:
    """Run Python there to its end; its words, should it fail, are the error's."""
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip().splitlines()[-1])


WAYS = {OURS: ours, "Ray Tune": ray_tune}
