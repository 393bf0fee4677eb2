"""The forecast of any table: planted laws come back, intervals hold, units and order do not matter, bad rows named."""

import numpy as np
import pandas as pd
import pytest

from dit_grid.analysis.tables import TableError, forecast_table, forms as laws
from dit_grid.analysis.tables.axes import axes_of
from dit_grid.analysis.tables.priors import kind_of, prior_of, public_fits
from dit_grid.analysis.tables.table import read_table
from dit_grid.analysis.tables.wording import said

DIT_2 = pd.DataFrame({"gflops": [6.06, 23.01, 80.71], "fid": [68.4, 43.47, 23.33]})
"""S/2, B/2, L/2 of Peebles & Xie 2022, Table 4; XL/2 has 118.64 and 19.47."""
XL_2 = pd.DataFrame({"gflops": [118.64]})


def grid_of(n=(3e7, 1e8, 3e8, 1e9), d=(1e9, 4e9, 1.6e10, 6.4e10)):
    return pd.DataFrame([(p, t) for p in n for t in d], columns=["params", "tokens"])


def hoffmann(rows):
    """Loss by the constants of Hoffmann et al. 2022 (arXiv 2203.15556), approach 3."""
    return 1.69 + 406.4 / rows["params"] ** 0.34 + 410.7 / rows["tokens"] ** 0.28


def predicted(seen, asked, y="fid", x=("gflops",), group=None):
    return forecast_table(seen, asked, y, x, group).predictions


@pytest.mark.parametrize(
    ("law", "axes", "parameters"),
    [(laws.power, 2, 2), (laws.bent, 1, 2), (laws.delayed, 1, 2), (laws.interaction, 2, 3), (laws.additive, 2, 3),
     (laws.farseer, 2, 4), (laws.repeated, 3, 4)],
)  # fmt: skip
def test_each_form_has_the_derivatives_of_its_value(law, axes, parameters):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(6, axes))
    z[:, -1] = -np.abs(z[:, -1])  # repeated data: ln of unique over all
    theta = rng.normal(size=(4, parameters)) * 0.5
    form = laws.with_extras(laws.Form("it", law, np.zeros(parameters), np.ones(parameters)), [(0.0, 1.0)])
    theta, z = np.hstack([theta, rng.normal(size=(4, 2))]), np.hstack([z, rng.normal(size=(6, 1))])
    _, slopes = form.rate(theta, z)
    for k in range(theta.shape[1]):
        step = np.zeros_like(theta)
        step[:, k] = 1e-6
        numeric = (form.rate(theta + step, z)[0] - form.rate(theta - step, z)[0]) / 2e-6
        np.testing.assert_allclose(slopes[..., k], numeric, atol=1e-6)


def test_a_power_law_with_floor_comes_back_beyond_the_data():
    compute = np.geomspace(1, 100, 9)
    truth = lambda c: 2 + 30 * c**-0.6  # noqa: E731
    found = predicted(pd.DataFrame({"gflops": compute, "fid": truth(compute)}), pd.DataFrame({"gflops": [300.0]}))
    assert found["predicted"][0] == pytest.approx(truth(300.0), rel=0.02)
    assert found["low"][0] < truth(300.0) < found["high"][0]
    assert found["decades"][0] == pytest.approx(np.log10(3))


def test_the_published_law_of_size_and_data_comes_back_ten_times_past_the_data():
    rows, asked = grid_of(), pd.DataFrame({"params": [3e9], "tokens": [2e11]})
    found = predicted(rows.assign(loss=hoffmann(rows)), asked, "loss", ("params", "tokens"))
    assert found["predicted"][0] == pytest.approx(hoffmann(asked)[0], rel=0.005)


def test_xl_2_of_the_paper_is_predicted_from_three_smaller_models():
    found = predicted(DIT_2, XL_2)
    assert found["predicted"][0] == pytest.approx(19.47, rel=0.06)  # a straight power law errs by 5.6 %
    assert found["low"][0] < 19.47 < found["high"][0]


def test_intervals_hold_on_simulated_tables_at_their_rate():
    rng = np.random.default_rng(1)
    held = []
    for _ in range(60):
        n = int(rng.integers(4, 9))
        c = np.sort(np.exp(rng.uniform(0, 5, n + 2)))
        share, a = (0 if rng.random() < 0.4 else rng.uniform(0, 0.8)), 0.5 * np.exp(0.4 * rng.normal())
        y = 10 * (share + (1 - share) * (c / c[n - 1]) ** -a) * np.exp(0.013 * rng.normal(size=n + 2))
        found = predicted(pd.DataFrame({"gflops": c[:n], "fid": y[:n]}), pd.DataFrame({"gflops": c[n:]}))
        held += list((found["low"] < y[n:]) & (y[n:] < found["high"]))
    assert 0.89 <= np.mean(held) <= 1.0  # 120 trials at 95 %: three standard errors are 6 %


def test_intervals_inside_the_data_are_as_wide_as_the_scatter_of_runs():
    rng = np.random.default_rng(5)
    c = np.geomspace(1, 100, 20)
    y = 100 * c**-0.4 * np.exp(0.03 * rng.normal(size=20))
    found = predicted(pd.DataFrame({"gflops": c, "fid": y}), pd.DataFrame({"gflops": [5.0, 10.0, 20.0]}))
    half = np.log(found["high"] / found["low"]) / 2
    assert half.between(1.96 * 0.03 * 0.7, 1.96 * 0.03 * 1.8).all()  # the sd of 20 rows is known within 16 %


@pytest.mark.parametrize("factor", [1e-3, 1e9])
def test_units_do_not_matter(factor):
    rows, asked = grid_of(), pd.DataFrame({"params": [3e9, 1e9], "tokens": [2e11, 5e9]})
    rng = np.random.default_rng(2)
    rows = rows.assign(loss=hoffmann(rows) * np.exp(0.002 * rng.normal(size=len(rows))))
    plain = predicted(rows, asked, "loss", ("params", "tokens"))
    scaled = lambda f: f.assign(params=f["params"] * factor, tokens=f["tokens"] / factor)  # noqa: E731
    other = predicted(scaled(rows).assign(loss=rows["loss"] * 7), scaled(asked), "loss", ("params", "tokens"))
    np.testing.assert_allclose(other[["predicted", "low", "high"]], 7 * plain[["predicted", "low", "high"]], rtol=1e-6)


def test_the_order_of_rows_does_not_matter():
    rows = grid_of()
    rows = rows.assign(loss=hoffmann(rows))
    asked = pd.DataFrame({"params": [3e9], "tokens": [2e11]})
    mixed = predicted(rows.sample(frac=1, random_state=3), asked, "loss", ("params", "tokens"))
    np.testing.assert_allclose(mixed, predicted(rows, asked, "loss", ("params", "tokens")), rtol=1e-8)


def test_a_perplexity_is_forecast_as_the_exponent_of_its_loss():
    rows, asked = grid_of(), pd.DataFrame({"params": [3e9], "tokens": [2e11]})
    rows = rows.assign(loss=hoffmann(rows), pile_ppl=np.exp(hoffmann(rows)))
    of = {y: predicted(rows, asked, y, ("params", "tokens")) for y in ("loss", "pile_ppl")}
    ends = ["predicted", "low", "high"]
    np.testing.assert_allclose(np.log(of["pile_ppl"][ends]), of["loss"][ends], rtol=1e-9)
    assert "loss, ln" in said(forecast_table(rows, asked, "pile_ppl", ("params", "tokens")))


def test_a_fid_near_where_every_fid_ends_has_little_left_to_fall():
    edm2 = pd.DataFrame(
        {"gflops": [46, 102, 181, 282.0], "fid": [3.53, 2.56, 2.25, 2.06]}
    )  # Karras et al. 2024, table 2
    asked = pd.DataFrame({"gflops": [406.0, 552.0]})
    found = predicted(edm2, asked)
    np.testing.assert_allclose(found["predicted"], [1.96, 1.91], rtol=0.02)  # a seed moves FID by 1 to 2 %
    other = predicted(edm2.rename(columns={"fid": "kid"}), asked, "kid")
    assert (found["low"] > other["low"]).all()  # no metric but FID is known to end there


def families(sizes=(4.0, 16.0, 60.0), levels=(("a", 1.0), ("b", 1.5), ("c", 0.8))):
    rows = [(name, c, level * 100 * c**-0.45) for name, level in levels for c in sizes]
    return pd.DataFrame(rows, columns=["family", "gflops", "fid"])


def test_families_share_a_slope_and_keep_their_levels():
    found = predicted(families(), pd.DataFrame({"family": ["a", "b"], "gflops": [90.0, 90.0]}), group="family")
    assert found["predicted"][1] / found["predicted"][0] == pytest.approx(1.5, rel=0.02)


def test_a_family_of_one_row_is_forecast_from_its_level():
    rows = pd.concat([families(), pd.DataFrame({"family": ["d"], "gflops": [60.0], "fid": [3 * 100 * 60**-0.45]})])
    found = forecast_table(rows, pd.DataFrame({"family": ["d"], "gflops": [90.0]}), "fid", ["gflops"], "family")
    assert found.predictions["predicted"][0] == pytest.approx(300 * 90**-0.45, rel=0.05)
    assert any("'d' has one row" in note for note in found.notes)


def test_a_family_never_measured_is_answered_said_and_wider():
    asked = pd.DataFrame({"family": ["a", "new"], "gflops": [90.0, 90.0]})
    found = forecast_table(families(), asked, "fid", ["gflops"], "family")
    width = np.log(found.predictions["high"] / found.predictions["low"])
    assert width[1] > 2 * width[0]
    at = 100 * 90**-0.45
    assert found.predictions["low"][1] < 0.8 * at  # the levels of those measured lie 0.8 to 1.5 times about it
    assert found.predictions["high"][1] > 1.5 * at
    assert any("'new' was never measured" in note for note in found.notes)


def test_a_curve_long_enough_speaks_for_itself():
    steps = np.geomspace(1, 50, 12)
    rows = pd.concat([pd.DataFrame({"curve": k, "examples": steps, "loss": e + steps**-a}) for k, e, a in
                      (("x", 0.2, 0.3), ("y", 1.0, 0.8))])  # fmt: skip
    alone = predicted(rows[rows["curve"] == "x"], pd.DataFrame({"examples": [100.0]}), "loss", ("examples",))
    asked = pd.DataFrame({"curve": ["x"], "examples": [100.0]})
    both = predicted(rows, asked, "loss", ("examples",), "curve")
    np.testing.assert_allclose(both, alone, rtol=1e-9)


def test_repeated_data_count_less():
    rng = np.random.default_rng(4)
    rows = pd.DataFrame([(p, u * k, u) for p in (1e8, 3e8, 1e9) for u in (1e9, 4e9, 1.6e10) for k in (1, 4, 16)],
                        columns=["params", "tokens", "unique_tokens"])  # fmt: skip
    half = 15.4  # Muennighoff et al. 2023: R*_D

    def loss(f):
        repeats = f["tokens"] / f["unique_tokens"] - 1
        seen = f["unique_tokens"] * (1 + half * (1 - np.exp(-repeats / half)))
        return 1.69 + 406.4 / f["params"] ** 0.34 + 410.7 / seen**0.28

    rows = rows.assign(loss=loss(rows) * np.exp(0.001 * rng.normal(size=len(rows))))
    asked = pd.DataFrame({"params": [3e9, 3e9], "tokens": [1e11, 1e11], "unique_tokens": [1e11, 4e9]})
    found = forecast_table(rows, asked, "loss", ["params", "tokens", "unique_tokens"])
    assert found.weights.index[0] == "sum, repeated data"
    np.testing.assert_allclose(found.predictions["predicted"], loss(asked), rtol=0.01)


def test_a_column_that_is_a_product_of_others_is_left_out_and_said():
    rows = grid_of()
    rows = rows.assign(loss=hoffmann(rows), gflops=rows["params"] * 2e-9)
    asked = pd.DataFrame({"params": [3e9], "tokens": [2e11], "gflops": [6.0]})
    found = forecast_table(rows, asked, "loss", ["params", "tokens", "gflops"])
    assert any(note.startswith("gflops says nothing of its own") for note in found.notes)
    assert axes_of(rows, asked, ("params", "tokens")).along == "params · tokens"


def test_compute_a_parameter_counts_like_compute_and_a_step_like_steps():
    """Tokens an image bring the metric down by an exponent of 0.9: as far past the data as four times as many."""
    grid = [(n, k, s) for n in (1e4, 4e4, 1.6e5) for k in (1.0, 4.0) for s in (500, 1000, 2000)]
    rows = pd.DataFrame(grid, columns=["params", "patches", "step"]).assign(gmacs=lambda f: f["params"] * f["patches"])
    law = lambda f: 50 * (f["params"] / 1e4) ** -0.4 * f["patches"] ** -0.9 * (f["step"] / 500) ** -0.5  # noqa: E731
    asked = pd.DataFrame({"params": [1.6e5], "patches": [16.0], "step": [2000]}).assign(gmacs=2.56e6)
    found = predicted(rows.assign(fid=law(rows)), asked, x=("params", "gmacs", "step"))
    assert found["predicted"][0] == pytest.approx(law(asked)[0], rel=0.1)
    seen, other = (frame.rename(columns={"step": "steps"}) for frame in (rows.assign(fid=law(rows)), asked))
    assert found.equals(predicted(seen, other, x=("params", "gmacs", "steps")))


def test_units_mixed_by_a_thousand_are_said():
    c = np.array([2.0, 8.0, 32.0, 128.0, 512.0, 2048.0])
    rows = pd.DataFrame({"gflops": np.where(c > 100, c * 1000, c), "fid": 100 * c**-0.4})
    found = forecast_table(rows, pd.DataFrame({"gflops": [8e6]}), "fid", ["gflops"])
    assert any("mixed" in note for note in found.notes)
    assert not forecast_table(rows.assign(gflops=c), pd.DataFrame({"gflops": [8e3]}), "fid", ["gflops"]).notes
    two = pd.concat([DIT_2.assign(family="DiT"), DIT_2.assign(family="SiT", fid=[57.6, 33.0, 18.8])])
    wrong = two.assign(gflops=two["gflops"].replace(80.71, 80710))
    asked = pd.DataFrame({"gflops": [118.64], "family": ["DiT"]})
    for rows, told in ((wrong, True), (two, False)):
        notes = forecast_table(rows, asked, "fid", ["gflops"], "family").notes
        assert any("2 rows are divided by 1,000" in note for note in notes) == told
    both = pd.DataFrame({"params": c * 1e7, "gflops": c, "fid": 100 * c**-0.4})
    odd = forecast_table(both, pd.DataFrame({"params": [3e10], "gflops": [3e6]}), "fid", ["params", "gflops"])
    assert any("in gflops alone" in note for note in odd.notes)


@pytest.mark.parametrize(("value", "reason"), [(0, "zero or negative"), (-3, "zero or negative"), (np.nan, "no value"),
                                               (np.inf, "infinite")])  # fmt: skip
@pytest.mark.parametrize("column", ["fid", "gflops"])
def test_rows_that_cannot_be_used_are_left_out_and_named_with_their_line(column, value, reason):
    bad = pd.concat([DIT_2, pd.DataFrame({"gflops": [50.0], "fid": [30.0], column: [value]})], ignore_index=True)
    found = forecast_table(bad, XL_2, "fid", ["gflops"])
    assert [note for note in found.notes if reason in note and column in note and "line 5" in note]
    np.testing.assert_allclose(found.predictions, predicted(DIT_2, XL_2))


def test_exact_copies_count_once_and_reruns_count():
    copied = forecast_table(pd.concat([DIT_2, DIT_2]), XL_2, "fid", ["gflops"])
    np.testing.assert_allclose(copied.predictions, predicted(DIT_2, XL_2))
    assert any("repeats an earlier row" in note for note in copied.notes)
    rerun = forecast_table(pd.concat([DIT_2, DIT_2.assign(fid=DIT_2["fid"] * 1.01)]), XL_2, "fid", ["gflops"])
    assert len(rerun.tables.seen) == 6


ONE_PLACE = pd.DataFrame({"gflops": [5.0, 5.0], "fid": [60.0, 61.0]})


@pytest.mark.parametrize(
    ("seen", "asked", "options", "message"),
    [
        (DIT_2[:1], XL_2, {}, "at least 2 usable rows, got 1"),
        (DIT_2[:0], XL_2, {}, "at least 2 usable rows, got 0"),
        (ONE_PLACE, XL_2, {}, "all 2 rows have the same gflops"),
        (DIT_2.assign(gflops=["a", "b", "c"]), XL_2, {}, "the table, line 2, column 'gflops': 'a' is not a number"),
        (DIT_2, XL_2.assign(gflops=["x"]), {}, "the rows to predict, line 2, column 'gflops': 'x' is not a number"),
        (DIT_2, XL_2 * np.nan, {}, "the rows to predict, line 2, column 'gflops': nan; must be a number above zero"),
        (DIT_2, -XL_2, {}, "must be a number above zero"),
        (DIT_2, XL_2[:0], {}, "no row to predict"),
        (DIT_2, XL_2, {"y": "fidd"}, "no column 'fidd' (did you mean 'fid'?)"),
        (DIT_2, XL_2, {"x": ["gflop"]}, "no column 'gflop' (did you mean 'gflops'?)"),
        (DIT_2.assign(params=1.0), XL_2, {"x": ["gflops", "params"]}, "the rows to predict: no column 'params'"),
        (DIT_2, XL_2, {"group": "family"}, "no column 'family'"),
        (DIT_2, XL_2, {"x": []}, "name at least one column"),
        (DIT_2, XL_2, {"x": ["fid"]}, "'fid' is also --y"),
        (DIT_2.astype(object).assign(gflops=["6", "23", "1,080"]), XL_2, {}, "write it without commas: 1080"),
        (DIT_2, pd.concat([XL_2] * 10_001), {}, "10,001 rows to predict; at most 10,000 at once"),
        (pd.concat([DIT_2, DIT_2["fid"]], axis=1), XL_2, {}, "two columns are called 'fid'"),
    ],
)
def test_what_cannot_be_forecast_is_said_in_one_line(seen, asked, options, message):
    with pytest.raises(TableError) as error:
        forecast_table(seen, asked, **({"y": "fid", "x": ["gflops"]} | options))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gflops,gflops,fid\n1,2,3\n", "two columns are called 'gflops'"),
        ("gflops;fid\n1;3\n", "look separated by ';'"),
        ("", "cannot be read as a table"),
    ],
)
def test_a_file_that_is_no_table_is_said_in_one_line(tmp_path, text, message):
    file = tmp_path / "runs.csv"
    file.write_text(text)
    with pytest.raises(TableError, match=message) as error:
        read_table(file)
    assert "\n" not in str(error.value)


def test_names_of_columns_stand_without_blanks_and_marks_of_an_encoding(tmp_path):
    file = tmp_path / "runs.csv"
    file.write_bytes(b"\xef\xbb\xbfgflops, fid\n6,68.4\n")
    assert list(read_table(file).columns) == ["gflops", "fid"]


def test_numbers_of_any_size_are_answered_without_a_warning():
    seen = pd.DataFrame({"gflops": [1e300, 1e-300, 1e10], "fid": [2.0, 3.0, 1.0]})
    assert np.isfinite(predicted(seen, XL_2)).all(axis=None)


def test_of_thousands_of_groups_those_asked_for_are_fitted():
    names = [f"f{k}" for k in range(400)]
    gflops = np.geomspace(1, 50, 400)
    fid = 90 * gflops**-0.4 * np.where(np.arange(400) == 7, 2, 1)
    seen = pd.DataFrame({"family": names, "gflops": gflops, "fid": fid})
    found = forecast_table(seen, pd.DataFrame({"family": ["f7"], "gflops": [60.0]}), "fid", ["gflops"], "family")
    assert found.predictions["predicted"][0] > 1.3 * 90 * 60**-0.4  # its own level, of one row
    assert any("40 of 400 values of family were fitted" in note for note in found.notes)


def test_values_all_alike_are_said():
    notes = forecast_table(DIT_2.assign(fid=10.0), XL_2, "fid", ["gflops"]).notes
    assert any("all 3 values of fid are alike" in note for note in notes)


def test_the_text_says_forms_distance_floors_and_what_would_change_it():
    text = said(forecast_table(DIT_2, XL_2, "fid", ["gflops"]))
    for words in ("power of compute", "0.17 decades", "Floor, as a share of the dearest row's 23.33", "none",
                  "What would change the answer"):  # fmt: skip
        assert words in text


def test_priors_leave_out_every_table_of_a_scored_tables_source():
    known = prior_of("distance")
    assert prior_of("distance", ("edm2-fid-cfg",)).exponent != known.exponent
    assert prior_of("distance", ("edm2-fid-cfg",)) is not prior_of("distance", ("loss-olmo-1b-3b",))
    edm2 = tuple(public_fits().query("source == 'EDM2'")["table"])
    assert prior_of("distance", edm2).exponent == prior_of("distance", edm2[:1]).exponent


@pytest.mark.parametrize(("name", "kind"), [
    ("fid", "distance"), ("fid50k", "distance"), ("fd_dinov2_nocfg", "distance"), ("val_loss", "loss"), ("bpb", "loss")
])  # fmt: skip
def test_a_metrics_kind_is_read_from_its_name(name, kind):
    assert kind_of(name) == kind


def test_a_metric_that_rises_is_said():
    rows = pd.DataFrame({"gflops": [1.0, 4.0, 16.0], "accuracy": [0.5, 0.6, 0.7]})
    found = forecast_table(rows, pd.DataFrame({"gflops": [64.0]}), "accuracy", ["gflops"])
    assert any("accuracy rises with gflops" in note for note in found.notes)
    assert not forecast_table(DIT_2, XL_2, "fid", ["gflops"]).notes


def test_rows_along_steps_past_the_data_are_said_to_fall_late_where_a_rate_decays():
    """No row of a cosine's first half shows it: OpenCLIP's runs in benchmarks/forecast_tables.csv end 15 % lower."""
    seen = pd.DataFrame({"steps": [1e4, 2e4, 4e4, 8e4], "loss": [3.0, 2.8, 2.65, 2.5]})
    for name, at, told in (("steps", 1.6e5, True), ("steps", 6e4, False), ("tokens", 1.6e5, False)):
        rows = seen.rename(columns={"steps": name})
        notes = forecast_table(rows, pd.DataFrame({name: [at]}), "loss", [name]).notes
        assert any("falls late" in note for note in notes) == told
