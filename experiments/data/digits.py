"""Scikit-learn's handwritten digits as a dataset: 1,797 real 8×8 images of ten classes, 1,500 of them for training.

The file is read out of the installed package without importing it, which would cost seconds in every worker.
Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI, test part, DOI 10.24432/C50P49.
"""

import gzip
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from dit_grid.experiments.data.dataset import Batch, DataError, InMemoryDataset, epoch_order

INK_LEVELS = 17
"""A pixel counts the inked cells of a 4×4 square of the scan: 0 to 16."""

HELDOUT_IMAGES = 297
SPLIT_SEED = 0


@cache
def digits() -> InMemoryDataset:
    """The digits, pixels scaled from 0…16 to [-1, 1]; the split is the same for every seed of a run.

    Raises DataError when scikit-learn or its data file is not installed.
    """
    table = _read_table(_data_file())
    images = (table[:, :-1] / 8 - 1).astype(np.float32).reshape(-1, 8, 8, 1)
    labels = table[:, -1].astype(np.int32)
    return InMemoryDataset("digits", 10, Batch(images, labels), heldout_positions(len(labels)))


def heldout_positions(count: int) -> np.ndarray:
    """Which of the file's `count` images are held out, rising."""
    return np.sort(epoch_order(SPLIT_SEED, 0, count)[:HELDOUT_IMAGES])


def to_ink(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] as whole ink levels 0…16, float64: how the digits file itself would hold them.

    Real digits come back exactly. Values outside [-1, 1] are clipped.
    """
    return np.rint((np.clip(np.asarray(images, np.float64), -1, 1) + 1) * (INK_LEVELS - 1) / 2)


def _data_file() -> Path:
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("dataset digits: scikit-learn is not installed; `pip install scikit-learn`")
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():
        raise DataError(
            f"dataset digits: {path} is missing; reinstall with `pip install --force-reinstall scikit-learn`"
        )
    return path


def _read_table(path: Path) -> np.ndarray:
    with gzip.open(path, "rt") as lines:
        return np.loadtxt(lines, delimiter=",", dtype=np.int64)
