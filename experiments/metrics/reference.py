"""Reference statistics in files: ADM's, pytorch-fid's, MeanFlow's and our own, and whether samples may be held to them.

Computing features is not here. A published file says nothing of how it was made beyond its own hash; ours do.
"""

import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

POOL_NAMES = (("mu", "sigma"), ("ref_mu", "ref_sigma"))
"""Arrays that hold mean and covariance: of ADM, pytorch-fid, EDM and clean-fid; of MeanFlow."""

SPATIAL_NAMES = (("mu_s", "sigma_s"),)
PROVENANCE_NAME = "dit_grid_provenance"


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
    """How statistics were made. Two are comparable when feature network and preparation agree; images may differ.

    `preparation` names crop and resize; `images_sha256` is a fingerprint of the images and `images` their number.
    """

    features: str
    features_sha256: str
    preparation: str
    images: int
    images_sha256: str


@dataclass(frozen=True)
class Reference:
    """Statistics of a set of images. `sha256` is the file's; `provenance` is None in files of other programs."""

    name: str
    sha256: str
    pool: Gaussian
    spatial: Gaussian | None
    provenance: Provenance | None


def read_reference(path: Path) -> Reference:
    """The statistics in an `.npz` file of any known program. Raises ReferenceFileError for anything else."""
    if path.suffix in {".pkl", ".pickle"}:
        raise ReferenceFileError(
            f"{path}: a pickle can run code and is not read; save its mu and sigma with numpy.savez"
        )
    if not path.is_file():
        raise ReferenceFileError(f"{path}: no such file")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            pool = _gaussian(path, arrays, POOL_NAMES)
            spatial = _gaussian(path, arrays, SPATIAL_NAMES)
            made = str(arrays[PROVENANCE_NAME]) if PROVENANCE_NAME in arrays else None
            held = ", ".join(arrays)
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise ReferenceFileError(f"{path}: not a complete .npz file ({error})") from error
    if pool is None:
        raise ReferenceFileError(f"{path}: holds {held}; expected mu and sigma, or MeanFlow's ref_mu and ref_sigma")
    return Reference(path.stem, file_sha256(path), pool, spatial, Provenance(**json.loads(made)) if made else None)


def write_reference(path: Path, pool: Gaussian, spatial: Gaussian | None, provenance: Provenance) -> None:
    """Write statistics under ADM's names, so that other programs read them too, with how they were made."""
    arrays: dict[str, Any] = {"mu": pool.mean, "sigma": pool.covariance}
    if spatial is not None:
        arrays |= {"mu_s": spatial.mean, "sigma_s": spatial.covariance}
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
        return
    differing = [
        f"{name} is {getattr(samples, name)} for the samples, {getattr(reference.provenance, name)} for the reference"
        for name in ("features", "features_sha256", "preparation")
        if getattr(samples, name) != getattr(reference.provenance, name)
    ]
    if differing:
        raise MismatchError(f"samples cannot be compared with reference {reference.name}: " + "; ".join(differing))


def file_sha256(path: Path) -> str:
    """SHA-256 in hex of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _gaussian(path: Path, arrays: Any, names: tuple[tuple[str, str], ...]) -> Gaussian | None:
    for mean_name, covariance_name in names:
        if mean_name in arrays and covariance_name in arrays:
            mean, covariance = arrays[mean_name], arrays[covariance_name]
            if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
                raise ReferenceFileError(
                    f"{path}: {mean_name} {mean.shape} and {covariance_name} {covariance.shape}; expected (D,), (D, D)"
                )
            return Gaussian(mean.astype(np.float64), covariance.astype(np.float64))
    return None
