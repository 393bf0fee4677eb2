"""`dit-grid bench`: real work beside a real peer's, honest about who is missing, and one page it may write."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from dit_grid.analysis.fits import SumOfPowers
from dit_grid.orchestrator.backends.variables import MALLOC
from dit_grid.orchestrator.bench import CONTESTS, compared, laws, networks
from dit_grid.orchestrator.bench.contests import Contest
from dit_grid.orchestrator.bench.page import BEGIN, END, rewritten
from dit_grid.orchestrator.commands.bench import _cases, bench
from dit_grid.orchestrator.control.errors import RequestError

LOGS = replace(next(contest for contest in CONTESTS if contest.name == "logs"), turn_s=0.2)


def test_rows_of_a_store_and_of_event_files_are_timed_in_turn():
    contest = replace(LOGS, peers={"TensorBoard": "tensorboardX"})
    (one,) = map(asdict, compared(contest, "rows", 1, 2))
    assert (one["peer"], one["rounds"], one["failed"]) == ("TensorBoard", 2, None)
    assert 0 < one["ours_s"] < 5
    assert one["low"] <= one["ratio"] <= one["high"]


def test_a_peer_that_could_not_is_named_with_its_own_words():
    (one,) = map(asdict, compared(replace(LOGS, peers={"Nobody": "numpy"}), "rows", 1, 1))
    assert (one["peer"], one["failed"]) == ("Nobody", "Nobody: KeyError: 'Nobody'")
    assert one["ours_s"] > 0


def test_a_peer_that_prints_more_than_a_pipe_holds_is_timed(tmp_path, monkeypatch):
    (tmp_path / "talkers.py").write_text(
        "import sys\nWAYS = dict.fromkeys(('dit-grid', 'P'), lambda *_: lambda: sys.stderr.write('word ' * 40_000))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(Contest, "module", "talkers")
    (one,) = compared(replace(LOGS, peers={"P": "numpy"}), "rows", 1, 1)
    assert (one.peer, one.failed) == ("P", None)


def test_without_a_peer_ours_alone_is_timed_and_the_package_is_named(monkeypatch):
    monkeypatch.setattr("dit_grid.orchestrator.bench.contests.CONTESTS", (replace(LOGS, peers={"P": "no_such_pkg"}),))
    done = CliRunner().invoke(bench, ["--rounds", "1", "--json"])
    answer = json.loads(done.stdout)
    assert answer["comparisons"][0]["peer"] is None
    assert answer["machine"]["jax"]
    assert "left out: no_such_pkg (uv sync --group peers" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--only", "speed"], "--only speed: no such comparison; there are updates, forward, samples"),
        (["--only", "updates", "--cases", "S/9"], "--cases S/9: no such network; there are S/8, S/4"),
        (["--only", "updates", "--cases", "S/8,S/4@0"], "--cases S/4@0: no batch; give a whole number of images"),
        (["--write", "nowhere.md"], "--write nowhere.md: No such file or directory"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_timed(arguments, says):
    done = CliRunner().invoke(bench, arguments)
    assert isinstance(done.exception, RequestError)
    assert str(done.exception).startswith(says)


def test_networks_have_a_batch_and_other_cases_none():
    updates = next(contest for contest in CONTESTS if contest.name == "updates")
    assert _cases(updates, "S/8,S/4@032") == ("S/8@8", "S/4@32")
    assert _cases(LOGS, "S/8") == ("rows",)
    run = networks.run("S/4@32")
    assert (run.train.batch, run.network.depth, run.network.patch) == (32, 12, 4)


def test_several_cores_are_timed_by_the_wall_and_ours_starts_as_a_launched_run(tmp_path, monkeypatch):
    (tmp_path / "talkers.py").write_text(
        "import os, sys\n"
        "def tells(case, threads):\n"
        "    sys.exit(' '.join(os.environ.get(name, '-') for name in ('GLIBC_TUNABLES', 'JAX_PLATFORMS')))\n"
        "WAYS = {'dit-grid': tells}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(Contest, "module", "talkers")
    (one,) = compared(replace(LOGS, clock="processor", peers={}), "rows", 2, 1)
    assert (one.clock, one.failed) == ("wall", f"dit-grid: {MALLOC} cpu")


def test_a_page_keeps_all_but_the_table(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n{BEGIN}\nold\n{END}\nafter\n")
    rewritten(page, "new")
    assert page.read_text() == f"# Before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


def test_the_law_is_the_one_that_the_peer_finds(monkeypatch):
    """Two codes that share nothing but the data agree on the optimum, within where L-BFGS-B stops."""
    a, b, e, alpha, beta = laws.PUBLISHED
    monkeypatch.setattr(laws, "STARTS", [(np.log(a),), (np.log(b),), (np.log(e),), (alpha,), (beta,)])
    theirs = laws.scipy("law", 1)()
    fit = SumOfPowers(("params", "tokens"), "loss", delta=laws.DELTA).fit(laws.planted())
    assert fit.theta == pytest.approx([*np.exp(theirs.x[:3]), *theirs.x[3:]], rel=1e-4)
