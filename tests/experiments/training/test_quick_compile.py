"""Programs that run seldom are compiled quickly, unless XLA_FLAGS says how."""

import pytest

from dit_grid.experiments.training.compiler_options import QUICK_OPTIONS, quick_compile

LEVEL = "xla_backend_optimization_level"


@pytest.mark.parametrize(("flags", "is_left"), [("", False), (f"--xla_dump_to=x --{LEVEL}=3", True)])
def test_what_xla_flags_says_of_an_option_stands(monkeypatch, flags, is_left):
    monkeypatch.setenv("XLA_FLAGS", flags)
    options = quick_compile() or {}
    assert (LEVEL not in options) == is_left
    assert set(options) <= set(QUICK_OPTIONS)


def test_what_runs_once_is_not_optimised(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    levels = [(quick_compile(runs_once) or {})[LEVEL] for runs_once in (False, True)]
    assert levels == [1, 0]
