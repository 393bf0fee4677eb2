"""The benchmarks that need an accelerator, or a quiet machine, work: each runs small and prints its table."""

import runpy
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def lines_of(name, capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
    return capsys.readouterr().out.splitlines()


def test_the_accelerator_benchmark_measures_training_and_sampling(capsys, monkeypatch):
    lines = lines_of("gpu_training", capsys, monkeypatch, "--tiny")
    assert "not listed, so no MFU" in lines[0]
    training, sampling = [line.split("|")[1:-1] for line in lines if line.startswith("| S/8")]
    assert float(training[6]) > 0  # it/s
    assert float(sampling[6]) > 0  # images/s


def test_the_compile_benchmark_times_both_parts(capsys, monkeypatch):
    (line,) = lines_of("compile_time", capsys, monkeypatch, "--models", "S/8")[1:]
    model, blocks, traced, compiled = line.split()
    assert (model, blocks) == ("S/8", "12")
    assert float(traced) > 0
    assert float(compiled) > 0
