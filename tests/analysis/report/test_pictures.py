"""Sample pictures on the page: each stands over the class it was asked for, by its name where the data has names."""

import numpy as np
import pytest

from dit_grid.analysis.report.pictures import strip
from dit_grid.analysis.results.sample_sheets import read_sheet
from dit_grid.experiments.evaluation.evaluation import npz_bytes
from dit_grid.experiments.store import Store

PICTURES = np.zeros((2, 4, 4, 1), np.float32)


@pytest.mark.parametrize(
    ("arrays", "captions"),
    [
        ({"class_names": np.array(["<tabby>", "hen"])}, ["&lt;tabby&gt;", "hen"]),
        ({}, ["7", "3"]),
        ({"class_names": np.array(["one alone"])}, ["7", "3"]),
    ],
)
def test_a_picture_stands_over_the_name_of_its_class(tmp_path, arrays, captions):
    files = Store.create(tmp_path / "store").files
    files.create("samples/a/s000000001.npz", npz_bytes(samples=PICTURES, labels=np.array([7, 3]), **arrays))
    markup = strip(read_sheet(files, "samples/a/s000000001.npz"))
    for caption in captions:
        assert f">{caption}</span>" in markup
        assert f'alt="a sample of class {caption}"' in markup
