"""Wraps a program that prints its numbers, perceptron.py, without a change to it: reads its lines, keeps its files."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from dit_grid.experiments import current_run as run

TRAINED = re.compile(r"update (\d+): training error ([\d.]+)")
SAVED = re.compile(r"update (\d+): saved, test error ([\d.]+)")


def holds(file: Path, step: int) -> bool:
    """Whether the copy is of that update: the program does not wait, and may have written the next one meanwhile."""
    try:
        return json.loads(file.read_text())["update"] == step
    except ValueError:
        return False


saved = Path(tempfile.mkdtemp()) / "perceptron.json"
command = [
    sys.executable, "-u", "perceptron.py", "--features", str(run.config["features"]), "--updates", str(run.steps),
    "--seed", str(run.seed), "--save", str(saved), "--save-every", str(run.checkpoint_every),
]  # fmt: skip
if run.step:
    command += ["--resume", str(run.checkpoint_folder(run.step) / "perceptron.json")]

with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
    for line in program.stdout:
        print(line, end="")  # into the run's log
        if found := TRAINED.match(line):
            run.log(int(found[1]), loss=float(found[2]))
        elif found := SAVED.match(line):
            step = int(found[1])
            run.evaluate(step, test_error=float(found[2]), samples=297)
            copy = shutil.copy(saved, run.checkpoint_folder(step) / saved.name)
            if not holds(copy, step):
                continue  # the next one will do
            run.commit(step)
            if run.stop_requested:
                program.terminate()
                sys.exit()
sys.exit(program.returncode)
