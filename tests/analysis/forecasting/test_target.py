"""Targets as people write them, and when one counts as met."""

import pytest

from dit_grid.analysis.fits import PowerLaw
from dit_grid.analysis.forecasting.prediction import costlier_than_cheapest, held_out
from dit_grid.analysis.forecasting.target import Target, TargetError, parse_target, standing
from dit_grid.analysis.laws.scaling import law
from dit_grid.analysis.paper.selections import twelve


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("exponent ±0.05", Target("exponent", width=0.05)),
        ("exponent +-0.05", Target("exponent", width=0.05)),
        (" exponent 5e-2 ", Target("exponent", width=0.05)),
        ("forecast:XL/2 ±10%", Target("forecast", "XL/2", 0.1, True)),
        ("forecast:96x6x6/2 +/-2.5", Target("forecast", "96x6x6/2", 2.5)),
        ("tokens_exponent", Target("tokens_exponent")),
    ],
)
def test_a_target_reads_as_it_is_written_and_back(text, target):
    assert parse_target(text) == target
    assert parse_target(str(target)) == target


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exponnt ±0.05", "did you mean 'exponent'"),
        ("exponent", "add half of the 95 % interval wanted"),
        ("exponent ±0", "must be a number above 0"),
        ("exponent ±-1", "must be a number above 0"),
        ("exponent ±5%", "in its own unit"),
        ("exponent:XL/2 ±0.1", "write a coefficient"),
        ("forecast ±10%", "forecast:MODEL"),
        ("", "write a coefficient"),
        ("± 0.05", "write a coefficient"),
    ],
)
def test_another_form_is_one_line_with_an_example(text, message):
    with pytest.raises(TargetError, match=message) as caught:
        parse_target(text, with_width=True)
    assert "\n" not in str(caught.value)


def test_the_standing_is_the_interval_of_the_fit():
    found = standing(twelve(), parse_target("exponent ±0.1"), "fid")
    fit = PowerLaw().fit(law(twelve(), "fid").points).params["exponent"]
    assert (found.value, found.width) == pytest.approx((fit.value, (fit.high - fit.low) / 2))
    assert found.met  # -0.365 ± 0.097
    assert not standing(twelve(), parse_target("exponent ±0.09"), "fid").met


def test_a_forecast_never_uses_the_model_that_it_forecasts():
    found = standing(twelve(), parse_target("forecast:XL/2 ±25%"), "fid")
    assert found.models == 11
    assert found.value == pytest.approx(19.25, abs=0.005)
    assert found.met


def test_fewer_than_six_models_never_meet_a_target_however_well_they_fit(planted):
    models = [f"{s}/{p}" for s in ("S", "B", "L", "XL") for p in (8, 4, 2)]
    wanted = parse_target("exponent ±0.05")
    few, enough = (standing(planted.results(stop=models[n:]), wanted, "fd_conv") for n in (5, 6))
    assert few.width == pytest.approx(0, abs=1e-6)
    assert (few.met, enough.met) == (False, True)
    assert "at least 6 are asked for" in str(few)


def test_too_little_is_an_answer_with_its_reason(planted):
    results = planted.results(stop=[f"{s}/{p}" for s in ("S", "B", "L", "XL") for p in (8, 4, 2)])
    for text in ("exponent ±0.05", "forecast:XL/2 ±10%"):
        found = standing(results, parse_target(text), "fd_conv")
        assert not found.met
        assert "not known yet" in str(found)
    assert "no 'fid' values" in str(standing(results, parse_target("exponent ±0.05"), "fid"))


def test_a_coefficient_that_the_metric_has_not_is_named_with_those_it_has(planted):
    with pytest.raises(TargetError, match="the law of accuracy has slope"):
        standing(planted.results(), parse_target("exponent ±0.05"), "accuracy")


def test_part_of_the_paper_knows_less_than_all_of_it():
    part = held_out(twelve(), costlier_than_cheapest(law(twelve(), "fid"), 8))
    wanted = parse_target("params_exponent ±0.01")
    less, more = (standing(results, wanted, "fid").width or 0.0 for results in (part, twelve()))
    assert less > more > 0


@pytest.mark.parametrize(("width", "text"), [(0.104, "±10%"), (0.0123, "±1.2%"), (2.28, "±228%"), (12.34, "±1234%")])
def test_a_share_is_written_as_people_write_it(width, text):
    target = Target("forecast", "XL/2", width, relative=True)
    assert str(target) == f"forecast:XL/2 {text}"
