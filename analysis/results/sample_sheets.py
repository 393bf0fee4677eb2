"""The sample pictures that runs left in a store, one array a model, for the sheet that compares models.

What is here reads `samples/<run_id>/*.npz`; making samples is `dit_grid.experiments`, drawing them `figures.samples`.
"""

import io

import numpy as np
from numpy.typing import NDArray

from dit_grid.analysis.results.families import main_family
from dit_grid.analysis.results.frames import Results


def load_samples(where: str, results: Results) -> dict[str, NDArray[np.floating]]:
    """Model name -> its newest pictures (n, H, W, C) in [-1, 1], in grid order, of the first seed that has any.

    Runs of the main family come first: the pictures are of the runs that the law is about, where those have some.

    Files are taken in order of name, so the last step is the newest; each holds its pictures as `samples`.
    """
    from dit_grid.experiments.store import Store, StorePaths  # frames made elsewhere need no store
    from dit_grid.experiments.store.arrays import opened_arrays
    from dit_grid.experiments.store.errors import DamagedFileError

    files = Store.open(where).files
    found: dict[str, NDArray[np.floating]] = {}
    family = set(main_family(results)[0].runs["run_id"]) if len(results.runs) else set()
    order = sorted(
        zip(results.runs["run_id"], results.runs["model"], strict=True), key=lambda run: run[0] not in family
    )
    for run_id, model in order:
        names = sorted(name for name in files.walk(StorePaths.samples(run_id)) if name.endswith(".npz"))
        if names and model not in found:
            with opened_arrays(io.BytesIO(files.read(names[-1])), names[-1], DamagedFileError) as arrays:
                found[model] = _pictures(names[-1], arrays.array("samples", "f"))
    return {model: found[model] for model in dict.fromkeys(results.runs["model"]) if model in found}


def _pictures(name: str, held: NDArray[np.floating]) -> NDArray[np.floating]:
    from dit_grid.experiments.store.errors import DamagedFileError

    if held.ndim != 4 or not held.size:
        raise DamagedFileError(f"{name}: pictures of shape {held.shape}; expected (n, H, W, C)")
    return held
