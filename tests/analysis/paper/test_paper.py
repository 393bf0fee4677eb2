"""The paper's printed numbers and what follows from them; expected values are its own or computed apart."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from dit_grid.analysis import analyze_paper, paper
from dit_grid.analysis.figures import paper_folder
from dit_grid.analysis.figures.paper_folder import NEED_RUNS
from dit_grid.analysis.fits import correlate
from dit_grid.analysis.paper.selections import figure10_compute, twelve
from dit_grid.orchestrator.commands.cli import cli

TRAINING_GFLOPS = {
    "S/8": 1.106e8, "S/4": 4.332e8, "S/2": 1.862e9, "B/8": 4.362e8, "B/4": 1.708e9, "B/2": 7.069e9,
    "L/8": 1.539e9, "L/4": 6.052e9, "L/2": 2.479e10, "XL/8": 2.270e9, "XL/4": 8.924e9, "XL/2": 3.645e10,
}  # fmt: skip


def test_the_correlation_is_the_one_printed_in_figure_8():
    found = paper.paper_law().correlation
    assert found is not None
    # -0.9298 by numpy.corrcoef on Table 4, Fisher interval; four digits are given
    assert [found.r, found.low, found.high] == pytest.approx([-0.9298, -0.981, -0.763], abs=6e-4)
    assert found.spearman == pytest.approx(-0.9161, abs=5e-5)


@pytest.mark.parametrize(
    ("x", "y", "log_x", "log_y", "r"),
    [
        ("gmacs", "value", False, False, -0.7255),
        ("gmacs", "value", True, True, -0.9356),
        ("gmacs", "value", False, True, -0.8759),
        ("params", "value", True, False, -0.4709),
        ("params", "value", False, False, -0.4278),
    ],
)
def test_other_correlations_of_table_4(x, y, log_x, log_y, r):
    # Four digits given; for parameters from unrounded counts, Table 4 rounds them to millions: 2e-3.
    tolerance = 2e-3 if x == "params" else 5e-5
    assert correlate(paper.paper_law().points, x, y, log_x, log_y).r == pytest.approx(r, abs=tolerance)


def test_the_papers_line():
    fit = paper.paper_law().fit
    assert fit is not None
    assert fit.theta == pytest.approx([126.145, -54.28], abs=5e-3)  # as many digits as were given


def test_training_compute_of_figure_9():
    evals = twelve().evals.set_index("model")["train_gmacs"]
    assert {m: evals[m] for m in TRAINING_GFLOPS} == pytest.approx(TRAINING_GFLOPS, rel=5e-4)  # four digits given


def test_compute_axis_of_figure_10():
    tflops: Any = figure10_compute().set_index("model") / 1000
    # Recomputed from unrounded counts with two to four digits; S/8 is printed as 0.36 (-0.6 %).
    assert tflops.loc["XL/2"].tolist() == pytest.approx([1.898, 3.796, 7.593, 15.19, 30.37, 118.64], rel=5e-4)
    assert tflops.loc["S/8", 1000] == pytest.approx(0.36)


def test_tables_have_the_papers_rows():
    assert [len(paper.table(n)) for n in range(1, 7)] == [4, 15, 9, 19, 3, 7]
    best = paper.table(2).sort_values("fid").head(1)
    assert best[["model", "fid", "guidance"]].values.tolist() == [["DiT-XL/2-G", 2.27, 1.5]]
    assert paper.table(4).query("image_size == 512")["fid"].tolist() == [13.78, 11.93]  # not 12.03: another decoder


def test_every_number_names_its_source():
    assert paper.published()["source"].str.match(r"arXiv 2212\.09748v2, |facebookresearch/DiT, ").all()


def test_there_is_no_table_7():
    with pytest.raises(ValueError, match="1 to 6"):
        paper.table(7)


def test_the_paper_is_analyzed_with_nothing_run(tmp_path, monkeypatch):
    """By the command, because to draw all its figures takes seconds: tables, figures, and what needs runs."""
    written: list[Path] = []
    monkeypatch.setattr(paper_folder, "analyze_paper", lambda out: written.extend(analyze_paper(out)))
    shown = CliRunner().invoke(cli, ["analyze", "--paper", "-o", str(tmp_path)], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "r(log GMACs, fid) = -0.93 [-0.98, -0.76]" in shown.output
    assert set(tmp_path.iterdir()) == set(written)
    names = {p.name for p in written}
    assert {f"table{n}.csv" for n in range(1, 7)} | {f"figure{n}.png" for n in (2, 5, 6, 8, 9, 10)} <= names
    assert {"figure12_training_compute.csv", "figure12_forward_compute.svg", "index.html"} <= names
    page = (tmp_path / "index.html").read_text()
    assert page.count("<img") == len([name for name in names if name.endswith(".png")])
    assert all(what.replace("'", "&#x27;") in page for what in NEED_RUNS.values())
    text = (tmp_path / "paper.txt").read_text()
    assert "r(log GMACs, fid) = -0.93 [-0.98, -0.76]" in text
    assert all(f"Figure {n}: " in text for n in NEED_RUNS)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "table5.csv"), paper.table(5), check_dtype=False)
    assert np.allclose(pd.read_csv(tmp_path / "figure8.csv")["value"].min(), 19.47)
