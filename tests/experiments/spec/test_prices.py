"""Price lists: the first row that fits slice type, region and billing, each with its date and where it is from."""

from pathlib import Path

import pytest

from dit_grid.experiments.spec import PriceSpec, SpecError, load_spec
from dit_grid.experiments.spec.price import built_in

GRID = Path(__file__).parents[3] / "experiments" / "grid.yaml"


def spec_with(folder, plan, prices=None):
    """The grid with another `plan:` section, and a file of prices beside it."""
    if prices is not None:
        (folder / "prices.yaml").write_text(prices)
    before, _, after = GRID.read_text().partition("\nplan:\n")
    (folder / "grid.yaml").write_text(f"{before}\nplan: {plan}\n{after[after.index('seed: ') :]}")
    return load_spec(folder / "grid.yaml")


def test_the_shipped_prices_are_googles_by_slice_with_a_date_and_a_source():
    """Google's list: v3-8 8 USD in us-central1 and 8.80 in europe-west4, v3-32 32 USD, preemptible 0.3 of it."""
    price = PriceSpec(price_rows=built_in())
    asked = ("v3-8", "v3-32", "v3-256", "v2-8", "v4-8", "v6e-8", "tpu7x-8", "gpu")
    assert [price.hourly(kind) for kind in asked] == [8.0, 32.0, 256.0, 4.5, 12.88, 21.6, None, None]
    europe = PriceSpec(price_rows=built_in(), region="europe-west4", billing="preemptible")
    assert [europe.hourly(kind) for kind in ("v3-8", "v3-32", "v4-8")] == [2.64, pytest.approx(9.6), None]
    assert all(row.date.year >= 2025 and row.source for row in built_in())


def test_one_host_of_v2_or_v3_has_no_price_where_none_was_looked_up_and_not_a_pods():
    """A v2-8 is 4.50 USD by itself and would be 6 by the price of a pod's chips; v2-32 is 24 everywhere."""
    abroad = PriceSpec(price_rows=built_in(), region="asia-east1")
    assert [abroad.hourly(kind) for kind in ("v2-8", "v3-8", "v2-32", "v3-32")] == [None, None, 24.0, 32.0]


def test_a_file_of_ones_own_is_read_from_beside_the_spec_and_goes_with_it(tmp_path):
    rows = (
        "date: 2026-01-02\nsource: contract\n"
        "rows:\n  - {of: v3-32, usd_per_hour: 10}\n  - {of: v3, usd_per_chip_hour: 1}\n"
    )
    spec = spec_with(tmp_path, "{prices: prices.yaml, mfu: 0.066}", rows)
    (tmp_path / "prices.yaml").unlink()
    price = spec.plan.model_validate(
        spec.plan.model_dump(mode="json")
    )  # as it is shipped to a cluster or written again
    assert [price.hourly(kind) for kind in ("v3-32", "v3-64")] == [10.0, 32.0]
    assert (price.row("v3-64").source, str(price.row("v3-64").date)) == ("contract", "2026-01-02")


def test_prices_change_no_runs_id(tmp_path):
    spec = spec_with(tmp_path, "{prices: built-in, slices: {v3-32: 4}, capacity: autoscaled}")
    assert [run.id for run in spec.runs] == [run.id for run in load_spec(GRID).runs]


ROWS = "date: 2026-01-01\nsource: x\nrows:\n"


@pytest.mark.parametrize(
    ("prices", "said"),
    [
        (None, "prices.yaml: no such file"),
        ("- 1", "prices.yaml:1: holds no settings; a file of prices is a mapping with `rows:`"),
        ("rows: 5", "prices.yaml:1: rows: must be a list of prices"),
        ("rows: []", "prices.yaml:1: rows: must be a list of prices"),
        ("dat: 1\nrows: [{of: v3}]", "prices.yaml:1: dat: unknown field; known: rows, of"),
        (ROWS + "- {of: v3, usd_per_hour: 1}", "prices.yaml:4: rows[0]: the price of the generation v3"),
        (ROWS + "- {of: v33, usd_per_hour: 1}", "or a generation, gpu, cpu"),
        (ROWS + "- {of: v3, usd_per_chip_hour: -1}", "prices.yaml:4: rows[0].usd_per_chip_hour: got -1"),
        ("source: x\nrows:\n- {of: v3, usd_per_chip_hour: 1}", "rows[0].date: missing"),
    ],
)
def test_a_mistake_in_a_price_list_is_one_line_with_its_place(tmp_path, prices, said):
    with pytest.raises(SpecError) as caught:
        spec_with(tmp_path, "{prices: prices.yaml}", prices)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("{prices: built-in, usd_per_core_hour: 2}", "plan: two prices"),
        ("{slices: {v3-16: 1}}", "plan.slices: got 'v3-16', which is not sold"),
        ("{capacity: elastic}", "plan.capacity: got 'elastic'"),
    ],
)
def test_a_mistake_in_the_plan_is_one_line_with_its_place(tmp_path, plan, said):
    with pytest.raises(SpecError) as caught:
        spec_with(tmp_path, plan)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
