"""Feature networks by the name that a spec gives them, and the features of a reference's own images.

The contract is `image_scores.FeatureNetwork`: any function from 8-bit images to features. Scores are made elsewhere.
"""

import hashlib
import importlib
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.data.image_arrays import image_chunks
from dit_grid.experiments.data.remote import cache_folder, replacing
from dit_grid.experiments.metrics.image_scores import collect
from dit_grid.experiments.metrics.names import INCEPTION
from dit_grid.experiments.metrics.reference import Reference, holds_images, read_rows
from dit_grid.experiments.networks.features import CLEAN_FID, PREPARATIONS, PYTORCH_FID, TF1, FeatureNetwork
from dit_grid.experiments.store.arrays import opened_arrays

DINOV2 = "dinov2"


def feature_network(name: str, weights: Path | None) -> FeatureNetwork:
    """The network called `inception`, `dinov2`, or `package.module:function`, with the weights in a file.

    `inception-pytorch-fid` and `inception-clean-fid` resize images as these programs do.
    A function of the user's own is called with the path, or None, and returns a FeatureNetwork. Raises DataError for an
    unknown name, and what reading the weights raises.
    """
    if ":" in name:
        return _users_own(name, weights)
    kind, _, resize = name.partition("-")
    makers: dict[str, Callable[[Path], FeatureNetwork]] = {
        INCEPTION: partial(_inception, resize=resize),
        DINOV2: _dinov2,
    }
    maker = makers.get(kind)
    if maker is None:
        raise DataError(
            f"no feature network {name!r}; there is {INCEPTION}, {INCEPTION}-{PYTORCH_FID}, {INCEPTION}-{CLEAN_FID}, "
            f"{DINOV2}, or a function of your own as package.module:function"
        )
    if weights is None:
        raise DataError(f"feature network {name!r} has no file of weights; name it under evaluate.files")
    return maker(weights)


def reference_rows(path: Path, reference: Reference, network: FeatureNetwork, batch: int) -> NDArray[np.float32]:
    """Pool features (M, D) of the reference's images: those in the file, or of the images in it, ADM's `arr_0`.

    Features of images are computed once for a file and network, and kept in `cache_folder`. Raises DataError when the
    file has neither.
    """
    rows = read_rows(path)
    if rows is not None:
        return rows
    if not holds_images(path):
        raise DataError(
            f"{path}: holds neither images nor their features, only statistics; precision, recall, density, coverage, "
            "kid and cmmd need ADM's file with arr_0, or one of `dit-grid evaluate --make-reference`"
        )
    made_of = f"{reference.sha256} {network.name} {network.sha256} {network.preparation}"
    kept = cache_folder() / "features" / f"{hashlib.sha256(made_of.encode()).hexdigest()[:32]}.npz"
    rows = _kept_rows(kept)
    if rows is None:
        rows = collect(network, image_chunks(path), batch).rows
        with replacing(kept) as temporary, open(temporary, "wb") as file:
            np.savez(file, rows=rows)
    return rows


def _kept_rows(kept: Path) -> NDArray[np.float32] | None:
    """The features that were kept, which a damaged file (npz has checksums) does not give; else None."""
    if not kept.is_file():
        return None
    try:
        with opened_arrays(kept, str(kept), DataError) as arrays:
            return np.asarray(arrays.array("rows", "f"), np.float32)
    except DataError:
        return None


def _inception(weights: Path, resize: str) -> FeatureNetwork:
    """With a resize of `PREPARATIONS`; any other ending of the name is the user's own and means TensorFlow 1's."""
    from dit_grid.experiments.networks.inception_weights import load_inception

    if resize not in PREPARATIONS and (near := get_close_matches(resize, PREPARATIONS, n=1, cutoff=0.7)):
        raise DataError(f"feature network {INCEPTION}-{resize!r}: did you mean {INCEPTION}-{near[0]}?")
    return load_inception(weights, resize if resize in PREPARATIONS else TF1)


def _dinov2(weights: Path) -> FeatureNetwork:
    from dit_grid.experiments.networks.dinov2_weights import load_dinov2

    return load_dinov2(weights)


def _users_own(name: str, weights: Path | None) -> FeatureNetwork:
    module, _, function = name.partition(":")
    try:
        make: Callable[[Path | None], FeatureNetwork] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise DataError(f"feature network {name!r} cannot be loaded: {error}; is its package installed?") from error
    network = make(weights)
    if not isinstance(network, FeatureNetwork):
        raise DataError(f"feature network {name!r} is a {type(network).__name__}; expected a FeatureNetwork")
    return network
