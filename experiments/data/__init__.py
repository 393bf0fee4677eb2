"""Training sets: digits that ship with a package, image folders, latents of them; any batch a function of the step.

What is done with a batch is `training`; how images become latents is here, the network that does it is in `networks`.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.experiments.data.conditions import dataset_of as dataset_of
    from dit_grid.experiments.data.dataset import Batch as Batch, DataError as DataError, Dataset as Dataset
    from dit_grid.experiments.data.feed import Feed as Feed
    from dit_grid.experiments.data.image_folder import ImageFolder as ImageFolder
    from dit_grid.experiments.data.latents import LatentFolder as LatentFolder
    from dit_grid.experiments.data.registry import dataset_named as dataset_named

__getattr__, __dir__ = on_first_use(__name__)
