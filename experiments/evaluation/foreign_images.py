"""Scores of finished images against a reference, and reference statistics of images: whoever made either.

Checkpoints are measured by `evaluation`; feature networks and the scores themselves are in `metrics`.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_grid.experiments.data.dataset import DataError, epoch_order
from dit_grid.experiments.data.digits import digits
from dit_grid.experiments.evaluation.image_sets import ImageSet
from dit_grid.experiments.metrics.dataset_metrics import metrics_for
from dit_grid.experiments.metrics.extractors import reference_rows
from dit_grid.experiments.metrics.image_scores import asked_scores, collect
from dit_grid.experiments.metrics.moments import Moments
from dit_grid.experiments.metrics.names import IMAGES, INCEPTION
from dit_grid.experiments.metrics.neighbours import PRDC_NEIGHBOURS
from dit_grid.experiments.metrics.reference import (
    Gaussian,
    Provenance,
    Reference,
    check_comparable,
    holds_images,
    read_reference,
    read_rows,
    write_reference,
)
from dit_grid.experiments.networks.features import POOL, SPATIAL, FeatureNetwork
from dit_grid.experiments.networks.local_devices import batch_size
from dit_grid.experiments.networks.weight_files import file_sha256

KEPT_ROWS = 10_000
"""Images of a reference whose features are kept, for precision and recall: as many as ADM's references hold."""

BLOCK = 1024
"""Images held at once while a reference is made: 200 MB at 256 pixels."""


@dataclass(frozen=True)
class Score:
    """One value with all that decides it, which is what the `evals` table has columns for."""

    metric: str
    value: float
    samples: int
    reference: str
    reference_sha256: str
    features: str
    features_sha256: str


Seen = Callable[[int], None]
"""Hears of so many images more."""


def score_images(
    images: ImageSet, network: FeatureNetwork, reference_path: Path | None, asked: tuple[str, ...], seen: Seen,
) -> list[Score]:  # fmt: skip
    """The scores asked for, or every one that network and reference allow.

    Raises ReferenceFileError, MismatchError, ImageScoreError; warns when there are fewer images than features.
    """
    reference = read_reference(reference_path) if reference_path else None
    if unknown := [name for name in asked if name not in IMAGES]:
        raise DataError(f"no metric {unknown[0]!r} of images; known: {', '.join(IMAGES)}")
    names = asked or _possible(network, reference, reference_path)
    if not names:
        raise DataError(f"{network.name} alone gives no score; add --reference REF.npz")
    _check_enough(images, names)
    if reference:
        _check_beforehand(images, network, reference)
    collected = collect(network, _rgb(images, seen), batch_size())
    rows = None
    if reference and reference_path and any(IMAGES[name].images for name in names):
        rows = reference_rows(reference_path, reference, network, batch_size())
    found = asked_scores(names, network, collected, reference, rows)
    return [
        Score(
            name, value, images.count, reference.name if reference else "", reference.sha256 if reference else "",
            f"{network.name}, {network.preparation}", network.sha256,
        )
        for name, value in found.items()
    ]  # fmt: skip


def score_digits(images: ImageSet, asked: tuple[str, ...], seen: Seen) -> list[Score]:
    """The digits' own metrics of 8×8 grey images, whose file must hold the labels they were asked for.

    Raises DataError for other images or a file without labels.
    """
    data = digits()
    pixels = np.concatenate(list(_heard(images.chunks(), seen)))
    if pixels.shape[1:] != data.shape:
        raise DataError(f"{images.path}: images {pixels.shape[1:]}; digits are {data.shape}")
    if images.labels is None:
        raise DataError(f"{images.path}: no labels arr_1, which digits are scored with; `dit-grid sample` writes them")
    known = {metric.name: metric for metric in metrics_for(data)}
    if wrong := [name for name in asked if name not in known]:
        raise DataError(f"no metric {wrong[0]!r} for digits; known: {', '.join(known)}")
    samples, labels = pixels / np.float32(127.5) - 1, images.labels.astype(np.int32)
    return [
        Score(
            name, known[name].score(samples, labels), images.count, known[name].reference,
            known[name].reference_sha256, known[name].features, known[name].features_sha256,
        )
        for name in asked or tuple(known)
    ]  # fmt: skip


def make_reference(images: ImageSet, network: FeatureNetwork, out: Path, seen: Seen) -> Provenance:
    """Write the reference statistics of images, with the features of 10,000 of them, and return how they were made.

    Constant memory. Raises DataError for images that cannot be read or differ in size, and for fewer than two.
    """
    if images.count < 2:
        raise DataError(f"{images.path}: {images.count} image; statistics need at least 2, and FID thousands")
    kept = np.sort(epoch_order(0, 0, images.count)[:KEPT_ROWS])
    moments: dict[str, Moments] = {}
    rows, digest, done = [], hashlib.sha256(), 0
    provenance: Provenance | None = None
    for block in _blocks(_rgb(images, seen)):
        part = collect(network, iter([block]), batch_size())
        for name, found in part.moments.items():
            moments[name] = moments[name].merge(found) if name in moments else found
        rows.append(part.rows[kept[(kept >= done) & (kept < done + len(block))] - done])
        digest.update(bytes.fromhex(part.provenance.images_sha256))
        provenance, done = part.provenance, done + len(block)
    assert provenance is not None, "an image set has an image"
    made = replace(provenance, images=done, images_sha256=digest.hexdigest(), crop=images.crop)
    if done <= len(moments[POOL].mean):
        warnings.warn(
            f"{done:,} images for {len(moments[POOL].mean):,} features: the covariance is singular, and distances to "
            "this reference compare only with one another; take 10,000 images or more",
            stacklevel=2,
        )
    spatial = _gaussian(moments[SPATIAL]) if SPATIAL in moments else None
    write_reference(out, _gaussian(moments[POOL]), spatial, made, np.concatenate(rows))
    return made


def summary(made: Provenance, out: Path) -> dict[str, Any]:
    """What a new reference is, for the record."""
    return {"reference": str(out), "reference_sha256": file_sha256(out)} | asdict(made)


def _gaussian(moments: Moments) -> Gaussian:
    return Gaussian(moments.mean, moments.covariance())


def _check_enough(images: ImageSet, names: tuple[str, ...]) -> None:
    needed = 1 + max(PRDC_NEIGHBOURS if IMAGES[name].images else 1 for name in names)
    if images.count < needed:
        raise DataError(
            f"{images.path}: {images.count} images; {', '.join(names)} need {needed} or more, to mean much thousands"
        )


def _check_beforehand(images: ImageSet, network: FeatureNetwork, reference: Reference) -> None:
    """Find what does not fit together before hours of features, and not after."""
    _, height, width, _ = next(images.chunks()).shape
    samples = Provenance(network.name, network.sha256, network.preparation, images.count, "", (height, width))
    check_comparable(reference, samples, len(reference.pool.mean))


def _possible(network: FeatureNetwork, reference: Reference | None, path: Path | None) -> tuple[str, ...]:
    names: list[str] = []
    if reference is not None:
        names.append("fid" if network.name == INCEPTION else "fd")
        if reference.spatial is not None and network.name == INCEPTION:
            names.append("sfid")
    if network.classify is not None:
        names.append("inception_score")
    if reference is not None and path is not None and (read_rows(path) is not None or holds_images(path)):
        names += ["precision", "recall", "kid"]
    return tuple(names)


def _rgb(images: ImageSet, seen: Seen) -> Iterator[NDArray[np.uint8]]:
    for chunk in _heard(images.chunks(), seen):
        yield np.repeat(chunk, 3, axis=-1) if chunk.shape[-1] == 1 else chunk


def _heard(chunks: Iterator[NDArray[np.uint8]], seen: Seen) -> Iterator[NDArray[np.uint8]]:
    for chunk in chunks:
        yield chunk
        seen(len(chunk))


def _blocks(chunks: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """The same images, BLOCK at a time, with what is left at the end."""
    waiting: list[NDArray[np.uint8]] = []
    for chunk in chunks:
        waiting.append(chunk)
        if sum(map(len, waiting)) >= BLOCK:
            joined = np.concatenate(waiting)
            yield joined[:BLOCK]
            waiting = [joined[BLOCK:]]
    if sum(map(len, waiting)):
        yield np.concatenate(waiting)
