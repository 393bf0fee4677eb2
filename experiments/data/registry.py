"""The datasets that a spec can name: those that ship with a package, and folders of latents."""

import re
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from dit_grid.experiments.data.dataset import DataError, Dataset
from dit_grid.experiments.data.digits import digits
from dit_grid.experiments.data.folder_contents import is_litter
from dit_grid.experiments.data.image_folder import ImageFolder, list_images
from dit_grid.experiments.data.latent_shards import ENCODING, MANIFEST
from dit_grid.experiments.data.latents import LatentFolder
from dit_grid.experiments.data.remote import is_remote
from dit_grid.model.entry_points import EntryPointError, loaded, registered


def _captioned_digits() -> Dataset:
    from dit_grid.experiments.data.captioned_digits import captioned_digits  # its encoder imports JAX

    return captioned_digits()


DATASETS: dict[str, Callable[[], Dataset]] = {"digits": digits, "captioned-digits": _captioned_digits}
"""What loads each dataset that needs no path; loading twice gives the same object."""


NEEDS_A_DEVICE = frozenset({"captioned-digits"})
"""Those whose text encoder runs in JAX, which a process that only drives must not start."""

SHARD = re.compile(r"\d{5}\.json")


def folder_notes(path: str) -> list[str]:
    """Lines on a folder of images that is trained on: its classes, and what is left out; none for latents."""
    if is_remote(path) or not _holds_images(Path(path)):
        return []
    return list_images(Path(path)).notes


def dataset_named(name: str, path: str | None = None, image_size: int | None = None, heldout: int = 0) -> Dataset:
    """The dataset of that name, or, with a path, what lies there, called by the name, without its `heldout` images.

    That is the latents that `dit-grid encode` wrote, on a disk or at gs://, or, where `image_size` is given, a folder
    of images in ImageNet's layout. Raises DataError, with the nearest name, when there is none.
    """
    if name in DATASETS:
        if heldout:
            raise DataError(f"data.heldout: {heldout}, but dataset {name} has a split of its own; leave it out")
        return DATASETS[name]()
    if name in registered("datasets"):
        return _of_package(name, path)
    if path is not None:
        if image_size is not None and not is_remote(path) and _holds_images(Path(path)):
            return ImageFolder(Path(path), image_size, heldout, name)
        return LatentFolder(name, path, heldout)
    known = (*DATASETS, *registered("datasets"))
    nearest = get_close_matches(name, known, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    raise DataError(
        f"no dataset {name!r}; there is {', '.join(sorted(known))}, or latents or images at a path, `data: {{name: "
        f"{name}, path: FOLDER}}`, or of a run --data FOLDER{hint}"
    )


@cache
def _of_package(name: str, path: str | None) -> Dataset:
    """What an installed package registers in the entry points `dit_grid.datasets`: a function of `data.path`."""
    try:
        return loaded("datasets", name)(path)
    except EntryPointError as error:
        raise DataError(str(error)) from error


def _holds_images(folder: Path) -> bool:
    """Whether it holds class folders and nothing that an encoding leaves."""
    if not folder.is_dir() or any((folder / name).is_file() for name in (ENCODING, MANIFEST)):
        return False
    entries = [entry for entry in folder.iterdir() if not is_litter(entry.name)]
    return any(entry.is_dir() for entry in entries) and not any(SHARD.fullmatch(entry.name) for entry in entries)
