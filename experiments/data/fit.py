"""Whether a run's network takes the images and conditions of its dataset; known before any device is asked for.

Nothing here imports JAX.
"""

from dit_grid.experiments.data.captions import captions_of
from dit_grid.experiments.data.dataset import DataError, Dataset
from dit_grid.experiments.spec.run import RunSpec


def check_fit(run: RunSpec, dataset: Dataset) -> None:
    """Raise DataError unless the network takes the dataset's images and conditions."""
    model = run.model
    image = "{}x{}x{}"
    if model.context_width is None:
        form, fields = image + " and {} classes", "image_size, channels and classes"
        asked, has = [model.classes], [dataset.classes]
    else:
        form, fields = image + " and captions of {}x{}", "image_size, channels, context_length and context_width"
        asked, has = [model.context_length, model.context_width], list(captions_of(dataset).embeddings.shape[1:])
    asked = [model.image_size, model.image_size, model.channels, *asked]
    has = [*dataset.shape, *has]
    if asked != has:
        raise DataError(
            f"{run.id}: the network takes {form.format(*asked)}, but dataset {dataset.name} has {form.format(*has)}; "
            f"set model.{fields}"
        )
