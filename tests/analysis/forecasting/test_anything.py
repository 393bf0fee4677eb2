"""`dit_grid.analysis.forecast` takes a frame or a file as the command does, and a store as ever."""

import pandas as pd
import pytest

from dit_grid import analysis
from dit_grid.analysis.forecasting import prediction
from dit_grid.analysis.tables import TableError, forecast_table

RUNS = pd.DataFrame({"gflops": [6.06, 23.01, 80.71], "fid": [68.4, 43.47, 23.33]})
ASKED = pd.DataFrame({"gflops": [118.64]})


def test_a_frame_and_a_file_give_what_the_tables_forecast_gives(tmp_path):
    RUNS.to_csv(tmp_path / "runs.csv", index=False)
    ASKED.to_csv(tmp_path / "rows.csv", index=False)
    wanted = forecast_table(RUNS, ASKED, "fid", ["gflops"]).predictions
    for runs, rows in ((RUNS, ASKED), (tmp_path / "runs.csv", str(tmp_path / "rows.csv"))):
        pd.testing.assert_frame_equal(analysis.forecast(runs, rows, "fid", x=["gflops"]).predictions, wanted)


def test_a_store_is_forecast_as_ever_by_its_results_or_its_path(planted, tmp_path):
    results = planted.results(stop=("XL/2",))
    wanted = prediction.forecast(results).predictions
    pd.testing.assert_frame_equal(analysis.forecast(results).predictions, wanted)
    store = planted.store(tmp_path / "store", stop=("XL/2",))
    found = analysis.forecast(store).predictions
    assert found["predicted"].tolist() == pytest.approx(wanted["predicted"].tolist())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "needs rows to predict and x"),
        ({"candidates": ASKED}, "needs rows to predict and x"),
        ({"candidates": ASKED, "x": ["gflop"]}, "'gflop'"),
        ({"candidates": "nowhere.csv", "x": ["gflops"]}, "nowhere.csv: no such file"),
    ],
)
def test_what_is_lacking_of_a_table_is_one_line(given, message):
    with pytest.raises(TableError, match=message):
        analysis.forecast(RUNS, metric="fid", **given)


def test_columns_of_a_table_are_refused_with_a_store(planted):
    with pytest.raises(TableError, match="x and group go with a table"):
        analysis.forecast(planted.results(), ASKED, "fid", x=["gflops"])
