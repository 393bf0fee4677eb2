"""Own FIDs beside the paper's, and two stores beside each other: the gap, a verdict, and what differs by name."""

import dataclasses
import json

import pytest

from dit_grid.analysis.paper import paper_results
from dit_grid.analysis.paper.reproduction import compare_stores, compare_with_paper
from dit_grid.analysis.results.frames import NotMeasuredError
from dit_grid.experiments.store.provenance import NotComparableError


def scaled(results, factor):
    return dataclasses.replace(results, evals=results.evals.assign(value=results.evals["value"] * factor))


def test_the_paper_reproduces_itself_with_nothing_different():
    found = compare_with_paper(paper_results())
    assert len(found.table) >= 12
    assert set(found.table["verdict"]) == {"equal"}
    assert set(found.table["differs"]) == {""}


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [
        (1.03, "seed noise"),
        (0.97, "seed noise"),
        (1.07, "rerun spread"),
        (1.28, "rerun spread"),
        (1.35, "larger"),
        (0.92, "rerun spread"),
        (0.85, "larger"),
    ],
)
def test_a_gap_is_seed_noise_or_what_reimplementations_show_or_larger(factor, verdict):
    found = compare_with_paper(scaled(paper_results(), factor))
    assert set(found.table["verdict"]) == {verdict}
    assert any("1 / samples" in line for line in found.summary()) == (
        verdict == "larger"
    )  # causes where they are needed


def test_other_settings_are_named():
    results = paper_results()
    evals = results.evals.assign(samples=10_000, guidance=1.5)
    found = compare_with_paper(dataclasses.replace(results, evals=evals))
    assert set(found.table["differs"]) == {"samples 10000, paper 50000; guidance 1.5, paper 1.0"}


def test_what_the_paper_did_not_measure_is_refused_with_what_there_is(planted):
    with pytest.raises(NotMeasuredError, match="no 'fid' values"):
        compare_with_paper(planted.results())
    foreign = paper_results()
    evals = foreign.evals.assign(image_size=8)
    with pytest.raises(NotMeasuredError, match=r"the paper reports none of B/2, .* at this image size"):
        compare_with_paper(dataclasses.replace(foreign, evals=evals))


def test_two_stores_pair_by_model_and_seed_and_name_what_is_alone(planted):
    own, other = planted.results(stop=("XL/2",)), planted.results(noise=0.001)
    found = compare_stores(own, other, "fd_conv")
    assert len(found.table) == 11
    assert found.alone == ("seed 0 of XL/2",)
    assert set(found.table["verdict"]) == {"seed noise"}


def test_models_that_differ_only_in_seed_are_named_once(planted):
    own, other = planted.results(seeds=(0, 1, 2), stop=("XL/2",)), planted.results(seeds=(0,))
    found = compare_stores(own, other, "fd_conv")
    assert found.alone[0].startswith("seeds 1, 2 of S/8, S/4, S/2, B/8")
    assert found.alone[1:] == ("seed 0 of XL/2",)
    specs = [json.dumps({"train": {"batch": batch}}) for batch in (128, 256)]
    first, second = (dataclasses.replace(own, runs=own.runs.assign(spec=spec)) for spec in specs)
    found = compare_stores(first, second, "fd_conv")
    assert list(found.table["seed"][:3]) == [0, 1, 2]
    (line,) = [line for line in found.summary() if "differ in" in line]
    assert line == "  S/8, S/4, S/2, B/8 and 7 more differ in train.batch 128, other 256"


def test_replicates_say_how_wide_seed_noise_is(planted):
    """A normal difference of two seeds, each with SD 0.02: 95 % are within 1.96 x sqrt(2) x 0.02 = 0.055."""
    own, other = (planted.results(seeds=(0, 1, 2, 3, 4, 5), noise=0.02, seed=s) for s in (1, 2))
    found = compare_stores(own, other, "fd_conv")
    assert found.band == pytest.approx(0.055, rel=0.2)  # 120 degrees of freedom: the SD is known to 6.5 %
    assert (found.table["verdict"] == "larger").mean() < 0.15


def test_other_provenance_is_an_error_that_names_it_unless_asked_for(planted):
    own, other = planted.results(), planted.results()
    other = dataclasses.replace(other, evals=other.evals.assign(sampler="ddpm"), where="b")
    with pytest.raises(NotComparableError, match="sampler: 'ddim', 'ddpm'; compare with --anyway"):
        compare_stores(own, other, "fd_conv")
    found = compare_stores(own, other, "fd_conv", anyway=True)
    assert found.provenance == {"sampler": ["ddim", "ddpm"]}
    assert any("other sampler" in line for line in found.summary())


def test_settings_of_the_runs_that_differ_are_named_once(planted):
    own, other = planted.results(), planted.results()
    specs = [json.dumps({"train": {"batch": 128, "dtype": dtype}}) for dtype in ("float32", "bfloat16")]
    sides = [
        dataclasses.replace(side, runs=side.runs.assign(spec=spec))
        for side, spec in zip((own, other), specs, strict=True)
    ]
    found = compare_stores(sides[0], sides[1], "fd_conv")
    assert set(found.table["differs"]) == {"train.dtype float32, other bfloat16"}
    assert [line for line in found.summary() if "differ in train.dtype" in line] == [
        "  S/8, S/4, S/2, B/8 and 8 more differ in train.dtype float32, other bfloat16"
    ]


def test_stores_of_other_seeds_pair_by_model_with_the_lowest_seed_of_each(planted):
    """A second store of all models at another seed is what a replication is."""
    own, other = planted.results(seeds=(0,)), planted.results(seeds=(8, 7), stop=("XL/2",))
    sides = [
        dataclasses.replace(
            side, runs=side.runs.assign(spec=[json.dumps({"seed": int(seed)}) for seed in side.runs["run_seed"]])
        )
        for side in (own, other)
    ]
    found = compare_stores(sides[0], sides[1], "fd_conv")
    assert list(found.table["model"]) == [model for model in dict.fromkeys(own.runs["model"]) if model != "XL/2"]
    assert set(found.table["differs"]) == {"seed 0, other 7"}
    assert found.alone[0] == "seed 0 of XL/2"
    assert found.alone[1].startswith("seed 8 of S/8, S/4")


def test_stores_with_nothing_in_common_say_what_each_has(planted):
    small, large = (planted.results(sizes={size: (32, 2)}, patches=(8,)) for size in ("S", "B"))
    with pytest.raises(NotMeasuredError, match=r"no model in common: .* has S/8; .* has B/8"):
        compare_stores(small, large, "fd_conv")
