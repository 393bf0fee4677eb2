"""Own FIDs beside the paper's: the ratio, a verdict that honest reruns pass, and settings that differ by name."""

import dataclasses

import pytest

from dit_grid.analysis.paper import paper_results
from dit_grid.analysis.reproduction import compare_with_paper


def test_the_paper_reproduces_itself_with_nothing_different():
    table = compare_with_paper(paper_results())
    assert len(table) >= 12
    assert (table["ratio"] == 1).all()
    assert set(table["differs"]) == {""}


@pytest.mark.parametrize(("factor", "verdict"), [(1.07, True), (1.16, False)])
def test_the_authors_own_spread_passes_and_twice_it_does_not(factor, verdict):
    results = paper_results()
    own = dataclasses.replace(results, evals=results.evals.assign(value=results.evals["value"] * factor))
    assert (compare_with_paper(own)["within_reruns"] == verdict).all()


def test_other_settings_are_named():
    results = paper_results()
    evals = results.evals.assign(samples=10_000, guidance=1.5)
    table = compare_with_paper(dataclasses.replace(results, evals=evals))
    assert set(table["differs"]) == {"samples 10000, paper 50000; guidance 1.5, paper 1.0"}


def test_a_grid_without_fid_is_refused_with_what_it_has(planted):
    with pytest.raises(ValueError, match="no 'fid' values"):
        compare_with_paper(planted.results())
