"""What a user reads from a store: tidy frames with costs on every row, and one row a run in the results table."""

import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dit_grid import analysis
from dit_grid.analysis.results.frames import assemble, metric_rows


def test_store_comes_back_as_the_frames_it_was_written_from(tmp_path, planted):
    runs, train, evals, events, states = planted.tables(noise=0.1, stop=("XL/2",))
    results = analysis.load(planted.store(tmp_path, noise=0.1, stop=("XL/2",)))
    expected = assemble(runs, train, evals, events, states | {"xl-2-000000": "started"})
    columns = ["run_id", "step", "metric", "value", "model", "gmacs", "train_gmacs"]
    by = ["run_id", "step", "metric"]
    left, right = (r.evals[columns].sort_values(by).reset_index(drop=True) for r in (results, expected))
    pd.testing.assert_frame_equal(left, right, check_dtype=False)
    assert list(results.runs["state"]) == list(expected.runs["state"]) == ["done"] * 11 + ["started"]


def test_every_row_read_from_a_store_carries_what_its_run_costs(tmp_path, planted):
    runs, train, evals, *_ = planted.tables()
    results = analysis.load(planted.store(tmp_path))
    written = {run["run_id"]: run for run in runs.to_dict("records")}
    for frame, rows in ((results.train, train), (results.evals, evals)):
        assert len(frame) == len(rows) > 0
        for row in frame.to_dict("records"):
            run = written[row["run_id"]]
            assert [row["params"], row["tokens"]] == [18 * run["depth"] * run["width"] ** 2, (8 // run["patch"]) ** 2]
            assert row["forward_macs"] == 12 * run["depth"] * row["tokens"] * run["width"] ** 2
            assert row["train_gmacs"] == pytest.approx(3 * row["forward_macs"] * 128 * row["step"] / 1e9, rel=1e-12)


def test_runs_stand_in_the_order_of_the_papers_table_4(planted):
    models = list(planted.results().runs["model"])
    assert models == [f"{s}/{p}" for s in ("S", "B", "L", "XL") for p in (8, 4, 2)]


def test_training_compute_is_three_forward_passes_of_every_image_seen(planted):
    evals = planted.results().evals
    macs = 3 * evals["forward_macs"] * evals["batch"] * evals["step"]
    np.testing.assert_allclose(evals["train_gmacs"] * 1e9, macs, rtol=1e-12)  # two roundings


def test_results_table_shows_the_latest_of_every_run_and_gaps_where_nothing_is(planted):
    runs, train, evals, events, states = planted.tables(stop=("S/8",))
    silent = "b-4-000000"
    train, evals = train[train["run_id"] != silent], evals[evals["run_id"] != silent]
    del states[silent]
    table: Any = analysis.results_table(assemble(runs, train, evals, events, states)).set_index("model")
    assert table.loc["S/8", ["state", "step", "evaluated_at"]].tolist() == ["waiting", 1000, 1000]
    assert table.loc["B/4", "step"] == 0
    assert np.isnan(table.loc["B/4", "fd_conv"])
    final = evals[
        (evals["run_id"] == "xl-2-000000") & (evals["metric"] == "fd_conv") & (evals["step"] == planted.steps)
    ]
    assert table.loc["XL/2", "fd_conv"] == final["value"].iloc[0]


def test_values_of_different_settings_are_never_mixed(planted):
    runs, train, evals, events, states = planted.tables()
    other = evals[(evals["metric"] == "fd_conv") & (evals["run_id"] < "c")].assign(
        protocol="bbbb", value=1e6, samples=9
    )
    results = assemble(runs, train, pd.concat([evals, other]), events, states)
    assert set(metric_rows(results, "fd_conv")["protocol"]) == {"aaaa"}
    assert set(metric_rows(results, "fd_conv", "bbbb")["value"]) == {1e6}


def test_unknown_metric_says_what_was_measured(planted):
    with pytest.raises(ValueError, match=r"no 'fid' values.*accuracy, fd_conv"):
        metric_rows(planted.results(), "fid")


def test_empty_store_gives_empty_frames_and_table(tmp_path):
    from dit_grid.experiments.store import Store

    Store.create(str(tmp_path))
    results = analysis.load(str(tmp_path))
    assert results.runs.empty
    assert analysis.results_table(results).empty


def test_every_public_name_is_there_whatever_was_imported_before():
    from dit_grid.analysis import fits  # modules must not hide functions
    from dit_grid.analysis.forecasting import anything
    from dit_grid.analysis.laws import scaling

    for package in (analysis, fits):
        assert all(callable(getattr(package, name)) or name.isupper() for name in dir(package))
    assert analysis.law is scaling.law
    assert analysis.forecast is anything.forecast
    with pytest.raises(AttributeError, match="has no 'lwa'; it has"):
        _ = analysis.lwa


def test_import_loads_neither_jax_nor_ray_nor_anything_heavy():
    code = "import sys, dit_grid.analysis as a; assert 'law' in dir(a); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"jax", "ray", "pandas", "matplotlib", "scipy", "numpy", "pyarrow"} & set(loaded)


def test_using_the_law_and_figures_still_needs_neither_jax_nor_ray_nor_pyplot():
    code = "import sys\nfrom dit_grid.analysis import law, load, write_figures\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"jax", "ray", "matplotlib.pyplot", "scipy.stats"} & set(loaded)


def test_a_value_that_is_not_finite_is_not_covered_by_an_older_one(planted):
    """FID 70 at step 200 must not stand beside step 300, where it was NaN."""
    runs, train, evals, events, states = planted.tables(sizes={"S": (32, 2)}, patches=(8,))
    run = runs.to_dict("records")[0]
    rows = [planted.eval_row(run, "fid", value, step) for step, value in ((200, 70.0), (300, np.nan))]
    rows += [planted.eval_row(run, "fd_conv", 5.0, 200)]
    train = train.head(3).assign(step=[100, 200, 300], loss=[0.5, 0.4, np.nan], steps_per_s=[4.0, 5.0, np.nan])
    results = assemble(runs, train, pd.DataFrame(rows, columns=evals.columns), events, states)
    (row,) = analysis.results_table(results).to_dict("records")
    assert (row["step"], row["evaluated_at"]) == (300, 300)
    assert all(np.isnan(row[name]) for name in ("loss", "steps_per_s", "fid", "fd_conv"))
    assert analysis.remarks(results) == [f"fid is not finite in {run['run_id']} at step 300: nan"]


@pytest.mark.parametrize(
    ("present", "main"),
    [
        ({"fd"}, "fd"),
        ({"fid", "fd", "kid"}, "fid"),
        ({"heldout_loss", "fd"}, "fd"),
        ({"kid"}, "kid"),
        ({"own_score", "x"}, "own_score"),
        ({"heldout_loss", "fd_conv"}, "fd_conv"),
        (set(), None),
    ],
)
def test_whatever_was_measured_has_a_law(present, main):
    assert analysis.main_metric(present) == main
