"""Scores of samples: Fréchet and kernel distances, precision and recall, classifiers, and the references they need.

`image_scores` lists the scores of images, `dataset_metrics` those of one dataset alone. Features come from `networks`,
samples from `evaluation`; nothing here draws a sample.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.experiments.metrics.dataset_metrics import METRICS_OF as METRICS_OF, metrics_for as metrics_for
    from dit_grid.experiments.metrics.frechet import frechet_distance as frechet_distance
    from dit_grid.experiments.metrics.image_scores import collect as collect, scores as scores
    from dit_grid.experiments.metrics.moments import Moments as Moments
    from dit_grid.experiments.metrics.names import HELDOUT_LOSS as HELDOUT_LOSS, IMAGES as IMAGES
    from dit_grid.experiments.metrics.reference import (
        Reference as Reference,
        read_reference as read_reference,
        write_reference as write_reference,
    )

__getattr__, __dir__ = on_first_use(__name__)
