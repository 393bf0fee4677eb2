"""Models by name that were never run: their networks and costs are those that the paper and the accounting give."""

import pytest

from dit_grid.analysis.forecasting.candidates import UnknownModelError, named_models
from dit_grid.analysis.paper.selections import twelve


def test_a_named_model_of_the_paper_costs_what_table_4_prints_for_it():
    """XL/2 with 675M parameters and 118.64 Gflops, taken from its name alone (Table 4)."""
    results = twelve()
    unknown = results.runs[results.runs["model"] != "XL/2"]
    found = named_models(["XL/2"], type(results)(unknown, results.train, results.evals, results.events)).iloc[0]
    assert found["params"] / 1e6 == pytest.approx(675, rel=1e-3)
    assert found["gmacs"] == pytest.approx(118.64, rel=1e-3)
    assert (found["tokens"], found["batch"], found["steps"]) == (256, 256, 400_000)


def test_a_measured_model_is_its_own_row_and_a_name_twice_is_one(planted):
    results = planted.results()
    found = named_models(["L/4", "L/4"], results)
    assert list(found["run_id"]) == ["l-4-000000"]


def test_a_network_can_be_spelled_out_and_sizes_come_from_the_runs(planted):
    found = named_models(["96x6x6/2", "XL/1"], planted.results()).set_index("model")
    assert tuple(found.loc["96x6x6/2", ["width", "depth", "heads", "tokens"]]) == (96, 6, 6, 16)
    assert tuple(found.loc["XL/1", ["width", "depth", "tokens"]]) == (80, 5, 64)  # the planted XL, not the paper's
    assert (found["state"] == "not asked for").all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("XL", "name a size and a patch, e.g. XL/1"),
        ("Q/2", "no size 'Q'; sizes: S, B, L, XL"),
        ("XL/3", "image_size 8 is not a multiple of patch 3"),
        ("10x2x3/2", "width 10 is not a multiple of heads 3"),
        ("XL/0", "name a size and a patch"),
    ],
)
def test_a_name_that_says_no_network_is_one_line(planted, name, message):
    with pytest.raises(UnknownModelError, match=message) as caught:
        named_models([name], planted.results())
    assert "\n" not in str(caught.value)
