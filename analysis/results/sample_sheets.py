"""The sample pictures that runs left in a store, for the sheet that compares models and for each run.

What is here reads `samples/<run_id>/*.npz`; making samples is `dit_grid.experiments`, drawing them `figures.samples`.
"""

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dit_grid.analysis.results.families import main_family
from dit_grid.analysis.results.frames import Results

if TYPE_CHECKING:
    from dit_grid.experiments.store.files import Files


@dataclass(frozen=True)
class Sheet:
    """Pictures (n, H, W, C) in [-1, 1], the step that they are of, and the labels (n,) asked for, where kept.

    `class_names` (n,) are those of the labels, of data that names its classes.
    """

    pictures: NDArray[np.floating]
    step: int | None = None
    labels: tuple[int, ...] | None = None
    class_names: tuple[str, ...] | None = None


def load_samples(where: str, results: Results) -> dict[str, NDArray[np.floating]]:
    """Model name -> its newest pictures (n, H, W, C) in [-1, 1]; see `load_sheets`."""
    return {model: sheet.pictures for model, sheet in load_sheets(where, results).items()}


def load_sheets(where: str, results: Results) -> dict[str, Sheet]:
    """Model name -> its newest sheet, in grid order, of the first seed that has any.

    Runs of the main family come first: the pictures are of the runs that the law is about, where those have some.

    Files are taken in order of name, so the last step is the newest; each holds its pictures as `samples`.
    """
    from dit_grid.experiments.store import Store  # frames made elsewhere need no store

    files = Store.open(where).files
    found: dict[str, Sheet] = {}
    family = set(main_family(results)[0].runs["run_id"]) if len(results.runs) else set()
    order = sorted(
        zip(results.runs["run_id"], results.runs["model"], strict=True), key=lambda run: run[0] not in family
    )
    for run_id, model in order:
        if model not in found and (names := sheet_names(files, run_id)):
            found[model] = read_sheet(files, names[-1])
    return {model: found[model] for model in dict.fromkeys(results.runs["model"]) if model in found}


def sheet_names(files: "Files", run_id: str) -> list[str]:
    """The names of a run's sheets in the store, oldest first."""
    from dit_grid.experiments.store import StorePaths

    return sorted(name for name in files.walk(StorePaths.samples(run_id)) if name.endswith(".npz"))


def read_sheet(files: "Files", name: str) -> Sheet:
    """One sheet; raises DamagedFileError for a file that is none."""
    from dit_grid.experiments.store.arrays import opened_arrays
    from dit_grid.experiments.store.errors import DamagedFileError

    with opened_arrays(io.BytesIO(files.read(name)), name, DamagedFileError) as arrays:
        pictures = _pictures(name, arrays.array("samples", "f"))
        labels = arrays.array("labels", "iu") if "labels" in arrays else None
        names = arrays.array("class_names", "U") if "class_names" in arrays else None
    step = re.search(r"s(\d{9})\.npz$", name)
    kept = tuple(int(label) for label in labels) if labels is not None and labels.shape == pictures.shape[:1] else None
    named = tuple(map(str, names)) if names is not None and names.shape == pictures.shape[:1] else None
    return Sheet(pictures, int(step[1]) if step else None, kept, named)


def _pictures(name: str, held: NDArray[np.floating]) -> NDArray[np.floating]:
    from dit_grid.experiments.store.errors import DamagedFileError

    if held.ndim != 4 or not held.size:
        raise DamagedFileError(f"{name}: pictures of shape {held.shape}; expected (n, H, W, C)")
    return held
