"""Whether a trainer is there before anything is reserved for it: its command is found, its function can be imported.

The function is imported in a process of its own, as it will be: what it imports costs this one nothing.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from dit_grid.experiments.spec.trainer import TrainerRun
from dit_grid.experiments.trainers import call
from dit_grid.experiments.trainers.ending import last_words
from dit_grid.experiments.trainers.program import command

IMPORT_S = 300.0
"""How long the trainer's imports may take; torch from a cold network disk takes a minute."""


def faults(run: TrainerRun) -> Iterator[tuple[str, str]]:
    """Yield (field of the spec, what is wrong) of a trainer that cannot be started here."""
    if run.folder and not Path(run.folder).is_dir():
        yield "folder", f"{run.folder}: no such folder"
    elif run.trainer.command is not None:
        program = command(run)[0]
        beside = Path(run.folder, program)
        found = shutil.which(str(beside)) if "/" in program else shutil.which(program)
        if found is None:
            is_there = f"{beside} may not be executed; chmod +x it" if beside.is_file() else "no such program"
            yield "trainer.command", f"{program}: {is_there}; it is looked for in PATH, or from {run.folder} with a /"
    elif run.trainer.function is not None:
        yield from _import_faults(run.trainer.function, run.folder)


def _import_faults(function: str, folder: str) -> Iterator[tuple[str, str]]:
    line = [sys.executable, "-m", call.__name__, function, "--check"]
    try:
        tried = subprocess.run(line, cwd=folder or None, capture_output=True, text=True, timeout=IMPORT_S)
    except subprocess.TimeoutExpired:
        yield "trainer", f"{function}: importing it took more than {IMPORT_S:.0f} s"
        return
    if tried.returncode:
        words = last_words(tried.stderr).splitlines() or [f"exit status {tried.returncode}"]
        yield "trainer", f"{function} cannot be imported from {folder or '.'}: {words[-1]}"
