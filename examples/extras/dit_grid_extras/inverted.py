"""A dataset: scikit-learn's digits, white on black turned to black on white."""

from dit_grid.experiments.data.dataset import Batch, InMemoryDataset
from dit_grid.experiments.data.digits import digits, heldout_positions


def inverted_digits(path):
    """The dataset; `path` is the spec's `data.path`, which this one does not need."""
    images, labels = digits().all()
    return InMemoryDataset("inverted-digits", 10, Batch(-images, labels), heldout_positions(len(labels)))
