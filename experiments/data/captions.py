"""What a captioned dataset offers beside its images: each caption as a padded sequence of embeddings.

Labels of such a dataset are numbers of captions. Which text encoder made the embeddings is the dataset's own business,
and how a network attends to them is `dit_grid.model`'s.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dit_grid.experiments.data.dataset import DataError


class Captions(NamedTuple):
    """Every caption by number: `embeddings` float32 (N, L, E) and `mask` bool (N, L), False where they are padding.

    Both may be memory-mapped; only the rows of a batch are read.
    """

    embeddings: NDArray[np.float32]
    mask: NDArray[np.bool_]

    def of(self, labels: NDArray[Any]) -> "Captions":
        """The captions of labels (...): embeddings (..., L, E) and masks (..., L)."""
        return Captions(self.embeddings[labels], self.mask[labels])


@runtime_checkable
class Captioned(Protocol):
    """A dataset whose labels number captions."""

    @property
    def captions(self) -> Captions:
        """Every caption, by number."""


def captions_of(dataset: object) -> Captions:
    """The captions of a captioned dataset. Raises DataError for one that has only class labels."""
    if not isinstance(dataset, Captioned):
        name = getattr(dataset, "name", dataset)
        raise DataError(f"dataset {name} has class labels and no captions; leave out model.context_width")
    return dataset.captions
