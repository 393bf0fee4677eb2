"""The README's commands work as they stand there; the two that train and test are run by the launch tests and by CI."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def lines_that_start_with(prefix):
    blocks = re.findall(r"(?:^    .*\n)+", README, flags=re.MULTILINE)
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines() if line.startswith(prefix)]


def run(line):
    command = [sys.executable, "-m", "dit_grid.orchestrator", *shlex.split(line)[1:]]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, env=dict(os.environ))


PLANS = lines_that_start_with("    dit-grid plan")


def test_the_readme_has_plans_to_run():
    assert len(PLANS) == 2


@pytest.mark.parametrize("line", PLANS)
def test_a_plan_of_the_readme_prints_twelve_runs(line):
    shown = run(line)
    assert shown.returncode == 0
    assert "12 runs" in shown.stdout


def test_the_numbers_of_the_model_in_the_readme_are_its_own():
    from dit_grid.model import DiTConfig, accounting

    config = DiTConfig.from_name("XL/2", image_size=32)
    assert f"{accounting.trainable_params(config):,}" in README
    assert f"{accounting.forward_macs(config) / 1e9:.2f}e9" in README


def test_every_command_of_the_readme_exists():
    named = {line.split()[1] for line in lines_that_start_with("    dit-grid ")}
    listed = run("dit-grid --help").stdout
    assert {"plan", "status", "results", "analyze", "doctor", "logs"} <= named
    assert all(f"  {command} " in listed for command in named)


def test_the_readme_is_read_to_its_end():
    assert len(README.splitlines()) < 150


def test_the_spec_of_the_readme_is_one(tmp_path):
    from dit_grid.experiments.spec import load_spec

    block = next(block for block in re.findall(r"(?:^    .*\n)+", README, flags=re.MULTILINE) if "grid:" in block)
    (tmp_path / "mine.yaml").write_text(block)
    spec = load_spec(tmp_path / "mine.yaml")
    assert (len(spec.runs), spec.notes) == (12, ())
