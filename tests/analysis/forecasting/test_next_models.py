"""The models that a grid does not have: its ladder goes on as it went, and only networks that can be are named."""

import pytest

from dit_grid.analysis.forecasting.candidates import named_models
from dit_grid.analysis.forecasting.next_models import following, new_models, next_sizes
from dit_grid.analysis.paper.selections import twelve


@pytest.mark.parametrize(
    ("ladder", "then"),
    [
        ([(768, 12, 12), (1024, 24, 16), (1152, 28, 16)], (1296, 33, 18)),  # the paper's B, L, XL: heads of 72 channels
        ([(12, 1, 3), (48, 4, 12)], (96, 8, 24)),  # a jump of four times is followed by twice
        ([(64, 4, 4)], (128, 8, 8)),
        ([(64, 4, 4), (64, 4, 8)], (64, 5, 8)),
    ],
)
def test_a_ladder_goes_on_as_it_went(ladder, then):
    assert following(ladder) == then


def test_the_next_sizes_of_the_papers_grid_are_larger_at_each_of_its_patches():
    paper = twelve()
    names = next_sizes(paper, list(paper.runs["model"]))
    assert [name.partition("/")[2] for name in names] == ["8", "4", "2"]
    largest = paper.runs.groupby("patch")["forward_macs"].max()
    grown = named_models(names, paper)
    assert (grown["forward_macs"].to_numpy() > largest[grown["patch"]].to_numpy()).all()


def test_models_beyond_a_grid_are_none_of_its_own():
    paper = twelve()
    models = set(paper.runs["model"])
    found = new_models(paper, models)
    assert not models & set(found)
    assert {"S/1", "XL/1"} <= set(found)
    assert "S/16" not in found
