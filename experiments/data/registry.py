"""The datasets that a spec can name: those that ship with a package, and folders of latents."""

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from dit_grid.experiments.data.dataset import DataError, Dataset
from dit_grid.experiments.data.digits import digits
from dit_grid.experiments.data.latents import LatentFolder

DATASETS: dict[str, Callable[[], Dataset]] = {"digits": digits}
"""What loads each dataset that needs no path; loading twice gives the same object."""


def dataset_named(name: str, path: str | None = None) -> Dataset:
    """The dataset of that name, or, with a path, the latents that `dit-grid encode` wrote there, called by the name.

    Raises DataError, with the nearest name, when there is none.
    """
    if name in DATASETS:
        return DATASETS[name]()
    if path is not None:
        return LatentFolder(name, Path(path))
    nearest = get_close_matches(name, DATASETS, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    raise DataError(
        f"no dataset {name!r}; there is {', '.join(sorted(DATASETS))}, or latents at a path, `data: {{name: {name}, "
        f"path: FOLDER}}`{hint}"
    )
