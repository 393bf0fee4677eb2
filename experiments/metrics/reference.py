"""Reference statistics in files: ADM's, pytorch-fid's, MeanFlow's and our own, and whether samples may be held to them.

Computing features is not here. A published file says nothing of how it was made beyond its own hash; ours do.
"""

import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from dit_grid.experiments.metrics.names import INCEPTION
from dit_grid.experiments.networks.features import CLEAN_FID, PREPARATIONS, PYTORCH_FID, TF1
from dit_grid.experiments.networks.weight_files import file_sha256
from dit_grid.experiments.store.arrays import Arrays, opened_arrays

POOL_NAMES = (("mu", "sigma"), ("ref_mu", "ref_sigma"))
"""Arrays that hold mean and covariance: of ADM, pytorch-fid, EDM and clean-fid; of MeanFlow."""

CLEAN_FID_MODES = {"clean": CLEAN_FID, "legacy_pytorch": PYTORCH_FID, "legacy_tensorflow": TF1}
"""How clean-fid's files of statistics call what they were made with: part of their names."""

SPATIAL_NAMES = (("mu_s", "sigma_s"),)
PROVENANCE_NAME = "dit_grid_provenance"
ROWS_NAME = "dit_grid_rows"
"""Pool features of reference images, which precision, recall and kernel distances compare with."""


class ReferenceFileError(ValueError):
    """A file that holds no reference statistics; the message says what it holds and what is expected."""


class MismatchError(ValueError):
    """Samples and a reference that were not made the same way; the message says what differs."""


class Gaussian(NamedTuple):
    """Mean (D,) and covariance (D, D), float64."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


@dataclass(frozen=True)
class Provenance:
    """How statistics were made. Two are comparable when feature network, preparation and size agree; images may differ.

    `preparation` names the network's own resize, `crop` how images were cut; `images_sha256` is a fingerprint of the
    images and `images` their number. `image_size` is their height and width, None in older files.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    features: str
    features_sha256: str
    preparation: str
    images: int
    images_sha256: str
    image_size: tuple[int, int] | None = None
    crop: str = ""


@dataclass(frozen=True)
class Reference:
    """Statistics of a set of images. `sha256` is the file's; `provenance` is None in files of other programs.

    `resize` is one of `features.PREPARATIONS`, shown by the file's arrays or its name; empty where a file shows
    none.
    """

    name: str
    sha256: str
    pool: Gaussian
    spatial: Gaussian | None
    provenance: Provenance | None
    resize: str = ""


_PROVENANCE = TypeAdapter(Provenance)


def read_reference(path: Path) -> Reference:
    """The statistics in an `.npz` file of any known program. Raises ReferenceFileError for anything else."""
    if path.suffix in {".pkl", ".pickle"}:
        raise ReferenceFileError(
            f"{path}: a pickle can run code and is not read; save its mu and sigma with numpy.savez"
        )
    if not path.is_file():
        raise ReferenceFileError(f"{path}: no such file")
    with opened_arrays(path, str(path), ReferenceFileError) as arrays:
        pool = _gaussian(path, arrays, POOL_NAMES)
        spatial = _gaussian(path, arrays, SPATIAL_NAMES)
        made = _provenance(path, arrays.text(PROVENANCE_NAME)) if PROVENANCE_NAME in arrays else None
        held = ", ".join(arrays.names)[:200]
        meanflow = POOL_NAMES[1][0] in arrays and POOL_NAMES[0][0] not in arrays
    if pool is None:
        raise ReferenceFileError(f"{path}: holds {held}; expected mu and sigma, or MeanFlow's ref_mu and ref_sigma")
    # ADM's suite alone writes sFID's statistics; both it and MeanFlow resize as TensorFlow 1 does.
    resize = TF1 if spatial is not None or meanflow else _resize_by_name(path)
    return Reference(path.stem, file_sha256(path), pool, spatial, made, resize)


def _resize_by_name(path: Path) -> str:
    """What clean-fid's names say, as in `cifar10_clean_train_32.npz`."""
    return next((resize for mode, resize in CLEAN_FID_MODES.items() if f"_{mode}_" in path.stem), "")


def read_rows(path: Path) -> NDArray[np.float32] | None:
    """Pool features (M, D) of reference images, float32, if `write_reference` kept some in the file; else None."""
    with opened_arrays(path, str(path), ReferenceFileError) as arrays:
        if ROWS_NAME not in arrays:
            return None
        rows = arrays.array(ROWS_NAME, "f")
        if rows.ndim != 2 or not len(rows) or not np.isfinite(rows).all():
            raise ReferenceFileError(f"{path}: {ROWS_NAME} {rows.shape}; expected finite features (M, D)")
        return rows.astype(np.float32)


def holds_images(path: Path) -> bool:
    """Whether the file holds the reference's images as well, as ADM's do in `arr_0`."""
    with opened_arrays(path, str(path), ReferenceFileError) as arrays:
        return "arr_0" in arrays


def write_reference(
    path: Path, pool: Gaussian, spatial: Gaussian | None, provenance: Provenance, rows: np.ndarray | None = None
) -> None:
    """Write statistics under ADM's names, so that other programs read them too, with how they were made.

    `rows` (M, D) are the pool features of as many images as precision, recall and kernel distances shall compare with.
    """
    arrays: dict[str, Any] = {"mu": pool.mean, "sigma": pool.covariance}
    if spatial is not None:
        arrays |= {"mu_s": spatial.mean, "sigma_s": spatial.covariance}
    if rows is not None:
        arrays[ROWS_NAME] = np.asarray(rows, np.float32)
    arrays[PROVENANCE_NAME] = np.array(json.dumps(asdict(provenance)))
    np.savez(path, **arrays)


def check_comparable(reference: Reference, samples: Provenance, features: int) -> None:
    """Raise MismatchError, naming every difference, unless samples with so many features may be held to `reference`."""
    if len(reference.pool.mean) != features:
        raise MismatchError(
            f"reference {reference.name} has {len(reference.pool.mean)} features and the samples {features}: "
            f"another network made it than {samples.features}"
        )
    if reference.provenance is None:
        _check_resize(reference, samples)
        return
    differing = [
        f"{name} is {getattr(samples, name)} for the samples, {getattr(reference.provenance, name)} for the reference"
        for name in ("features", "features_sha256", "preparation", "image_size")
        if getattr(samples, name) != getattr(reference.provenance, name)
        and None not in (getattr(samples, name), getattr(reference.provenance, name))
    ]
    if differing:
        raise MismatchError(f"samples cannot be compared with reference {reference.name}: " + "; ".join(differing))


def _check_resize(reference: Reference, samples: Provenance) -> None:
    """Hold the resize that a file of another program shows against that of the samples; say so where it shows none."""
    if samples.preparation not in PREPARATIONS.values():
        return
    if reference.resize and PREPARATIONS[reference.resize] != samples.preparation:
        suffix = "" if reference.resize == TF1 else f"-{reference.resize}"
        raise MismatchError(
            f"reference {reference.name} was made with {PREPARATIONS[reference.resize]}, the samples' features with "
            f"{samples.preparation}: take --features {INCEPTION}{suffix}=FILE"
        )
    if not reference.resize:
        warnings.warn(
            f"reference {reference.name} does not say how its images were resized to 299; taken as the samples', "
            f"{samples.preparation}. If pytorch-fid or clean-fid made it, the distance is off (0.016 at 64 pixels was "
            f"seen): take --features {INCEPTION}-{PYTORCH_FID}=FILE or {INCEPTION}-{CLEAN_FID}=FILE",
            stacklevel=3,
        )


def _provenance(path: Path, text: str) -> Provenance:
    """How the statistics were made, as the file says. Raises ReferenceFileError for what is no such record."""
    try:
        return _PROVENANCE.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise ReferenceFileError(
            f"{path}: {PROVENANCE_NAME} does not say how it was made ({place}: {first['msg']}); make it again with "
            "`dit-grid evaluate --make-reference`"
        ) from error


def _gaussian(path: Path, arrays: Arrays, names: tuple[tuple[str, str], ...]) -> Gaussian | None:
    for mean_name, covariance_name in names:
        if mean_name in arrays and covariance_name in arrays:
            mean, covariance = arrays.array(mean_name, "fiu"), arrays.array(covariance_name, "fiu")
            if not len(mean.shape) or not mean.size or not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
                raise ReferenceFileError(f"{path}: {mean_name} or {covariance_name} is empty, NaN or infinite")
            if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
                raise ReferenceFileError(
                    f"{path}: {mean_name} {mean.shape} and {covariance_name} {covariance.shape}; expected (D,), (D, D)"
                )
            return Gaussian(mean.astype(np.float64), covariance.astype(np.float64))
    return None
