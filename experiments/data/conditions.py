"""A run's dataset, and what its network is conditioned on for given labels: these themselves, or captions they number.

Every function holds for both; what a condition does in the network is `dit_grid.model.dit`.
"""

from typing import Any

import jax
from numpy.typing import NDArray

from dit_grid.experiments.data.captions import captions_of
from dit_grid.experiments.data.dataset import Dataset
from dit_grid.experiments.data.fit import check_fit
from dit_grid.experiments.data.registry import dataset_named
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.model import NULL_CONTEXT, Context, drop_contexts, drop_labels


def dataset_of(run: RunSpec) -> Dataset:
    """The run's dataset, where its spec says it lies. Raises DataError if there is none or it does not fit."""
    dataset = dataset_named(run.data.name, run.data.path, run.model.image_size, run.data.heldout)
    check_fit(run, dataset)
    return dataset


def conditions(run: RunSpec, dataset: Dataset, labels: NDArray[Any]) -> Any:
    """What the network takes for labels (...): themselves, or a Context of their captions (..., L, E)."""
    if run.model.context_width is None:
        return labels
    return Context(*captions_of(dataset).of(labels))


def null_condition(run: RunSpec) -> Any:
    """What stands for no condition, as the samplers' `null_label`."""
    return run.model.classes if run.model.context_width is None else NULL_CONTEXT


def drop_conditions(run: RunSpec, key: jax.Array, condition: Any) -> Any:
    """A batch's conditions with each replaced by none with probability `train.class_dropout`."""
    if isinstance(condition, Context):
        return drop_contexts(key, condition, run.train.class_dropout)
    return drop_labels(key, condition, run.model.classes, run.train.class_dropout)
