"""Every command block of the tutorial, in order, in a folder of its own, as a reader would run it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+) ?(.*)\n((?:.*\n)*?)```$", TEXT, flags=re.MULTILINE)
FIRST_LAUNCH_S = 900


def test_every_block_is_run_or_says_why_not():
    assert len(BLOCKS) >= 9
    for kind, said, text in BLOCKS:
        assert kind in ("sh", "yaml")
        assert (kind == "yaml" and said.endswith(".yaml")) or not said or said.startswith("not run: "), text


@pytest.mark.slow
def test_the_tutorial_runs_from_its_first_command_to_its_last(tmp_path):
    code = shutil.ignore_patterns("*.py", "__pycache__")
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments", ignore=code)
    shutil.copytree(ROOT / "examples" / "images", tmp_path / "examples" / "images")
    for kind, said, text in BLOCKS:
        if kind == "yaml":
            (tmp_path / said).write_text(text)
            continue
        for line in text.splitlines() if not said else ():
            words = shlex.split(line)
            program = {"dit-grid": ["-m", "dit_grid.orchestrator"], "python": []}[words[0]]
            done = subprocess.run(
                [sys.executable, *program, *words[1:]],
                cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, timeout=FIRST_LAUNCH_S,
            )  # fmt: skip
            assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    assert (tmp_path / "digits.html").stat().st_size > 50_000
    assert (tmp_path / "objectives.svg").is_file()
