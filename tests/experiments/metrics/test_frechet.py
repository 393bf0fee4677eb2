"""The Fréchet distance agrees with exact values, whatever the covariances, and says how sure it is."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dit_grid.experiments.metrics.frechet import StatisticsError, frechet_distance

CASES = json.loads((Path(__file__).parents[2] / "golden" / "metrics_fd.json").read_text())


# Seconds each, and of the same kind as another case that always runs.
REPEATED = {"spatial2023", "pool2048_same", "mean_only"}


def cases(kind):
    return [
        pytest.param(case, id=case["name"], marks=[pytest.mark.slow] if case["name"] in REPEATED else [])
        for case in CASES[kind]
    ]


def statistics(x):
    x = x.astype(np.float64)
    return x.mean(axis=0), np.cov(x, rowvar=False)


@pytest.mark.parametrize("case", cases("from_samples"))
def test_agrees_with_singular_values_of_the_samples(case, generated):
    first = statistics(generated(case["gen1"], case["sha1"]))
    second = statistics(generated(case["gen2"], case["sha2"]))

    found = frechet_distance(*first, *second)

    # The golden tolerance is 2e-5, of methods that take roots of null directions; leaving those out reaches 1e-9.
    assert found.value == pytest.approx(case["exact"], rel=1e-12, abs=1e-9)
    assert abs(found.value - case["exact"]) <= found.error + 1e-12  # the golden value itself is good to 1e-13
    assert found.error <= max(case["atol"], 1e-9 * case["exact"])


def diagonals():
    i = np.arange(16)
    return (i + 1) / 16, (16 - i) / 8, 0.1 * i


def rotated(factor):
    a, b, mean = diagonals()
    v = np.arange(16) + 1.0
    q = np.eye(16) - 2 * np.outer(v, v) / (v @ v)
    return mean * np.sqrt(factor), q * a @ q * factor, 0 * mean, q * b @ q * factor


def given_statistics(name):
    a, b, mean = diagonals()
    u = 1 / np.arange(1.0, 65)
    w = u * (-1.0) ** np.arange(64)
    none16, none, many = np.zeros(16), np.zeros(2048), np.eye(2048)
    return {
        "diag": lambda: (mean, np.diag(a), none16, np.diag(b)),
        "rotated": lambda: rotated(1.0),
        "two_by_two": lambda: ([0, 0], [[2.0, 1.0], [1.0, 3.0]], [0, 0], [[1.0, -0.5], [-0.5, 2.0]]),
        "rank_one": lambda: (0 * u, np.outer(u, u), 0 * u, np.outer(w, w)),
        "orthogonal_supports": lambda: (none16, np.diag(1.0 * (a <= 0.5)), none16, np.diag(1.0 * (a > 0.5))),
        "scaled_identity": lambda: (none, many, none, 4 * many),
        "mean_only": lambda: (none, many, none + 1, many),
        "tiny_scale": lambda: rotated(1e-12),
        "huge_scale": lambda: rotated(1e12),
        "both_zero": lambda: (mean, 0 * np.diag(a), none16, 0 * np.diag(a)),
    }[name]()


@pytest.mark.parametrize("case", cases("from_statistics"))
def test_agrees_with_algebra_at_any_scale(case):
    found = frechet_distance(*given_statistics(case["name"]))

    # float64 keeps 15 digits and the sums run over at most 2,048 directions.
    assert found.value == pytest.approx(case["exact"], rel=1e-12)
    assert abs(found.value - case["exact"]) <= found.error


def test_order_does_not_matter_where_one_covariance_is_singular(generated):
    case = next(c for c in CASES["from_samples"] if c["name"] == "d64_disjoint_support")
    first, second = statistics(generated(case["gen1"])), statistics(generated(case["gen2"]))

    # Two different factorisations; each is good to about D times 1e-16 of the traces.
    assert frechet_distance(*first, *second).value == pytest.approx(frechet_distance(*second, *first).value, rel=1e-12)


def test_float32_statistics_cost_their_own_rounding_and_no_more(generated):
    case = next(c for c in CASES["from_samples"] if c["name"] == "d64_rankdef")
    first, second = (tuple(np.float32(s) for s in statistics(generated(case[g]))) for g in ("gen1", "gen2"))

    found = frechet_distance(*first, *second)

    assert abs(found.value - case["exact"]) <= found.error
    assert found.error < 0.02  # 24 + 34 null directions at the root of float32's 1e-7


def test_variance_too_small_to_be_told_from_rounding_is_in_the_error():
    almost = np.diag(np.repeat([1.0, 1e-17], 8))
    found = frechet_distance(np.zeros(16), almost, np.zeros(16), np.eye(16))
    exact = 8 * (1 - np.sqrt(1e-17)) ** 2
    assert abs(found.value - exact) > 1e-8  # null directions are left out on purpose
    assert abs(found.value - exact) <= found.error < 1e-6


BAD: dict[str, tuple[tuple[Any, Any, Any, Any], str]] = {
    "shapes": (
        (np.zeros(3), np.eye(2), np.zeros(2), np.eye(2)),
        r"first statistics: mean \(3,\) and covariance \(2, 2\)",
    ),
    "sizes": ((np.zeros(2), np.eye(2), np.zeros(3), np.eye(3)), "2 features cannot be compared with those of 3"),
    "nan": ((np.zeros(2), np.eye(2), np.array([0, np.nan]), np.eye(2)), "second statistics hold values that are not"),
    "asymmetric": ((np.zeros(2), [[1.0, 0.5], [0.0, 1.0]], np.zeros(2), np.eye(2)), "not symmetric"),
    "negative": (
        (np.zeros(2), np.diag([1.0, -0.1]), np.zeros(2), np.eye(2)),
        "an eigenvalue is -0.1 of the largest; none is neg",
    ),
    "second negative": ((np.zeros(2), np.eye(2), np.zeros(2), np.diag([1.0, -0.1])), "not a covariance"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_statistics_is_refused_with_the_reason(name):
    arguments, message = BAD[name]
    with pytest.raises(StatisticsError, match=message):
        frechet_distance(*arguments)
