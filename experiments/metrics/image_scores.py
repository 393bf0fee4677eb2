"""All scores of a set of 8-bit images against a reference: FID, sFID, Inception Score, precision and recall, or FD.

Images come in chunks and go through a feature network once; what the network is, is a contract (`FeatureNetwork`).
Sampling, decoding, and reading arguments is left to others.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dit_grid.experiments.metrics.frechet import frechet_distance
from dit_grid.experiments.metrics.inception_score import inception_score
from dit_grid.experiments.metrics.kernel_distance import squared_mmd, unit_gaussian_mmd
from dit_grid.experiments.metrics.moments import Moments
from dit_grid.experiments.metrics.names import IMAGES, INCEPTION
from dit_grid.experiments.metrics.neighbours import density_coverage, precision_recall
from dit_grid.experiments.metrics.reference import Gaussian, MismatchError, Provenance, Reference, check_comparable
from dit_grid.experiments.metrics.stopwatch import Stopwatch
from dit_grid.experiments.networks.features import POOL, SPATIAL, FeatureNetwork

FEATURES, STATISTICS = "features", "statistics"
"""Parts of the time that scoring takes."""


class ImageScoreError(ValueError):
    """Images that cannot be scored as asked; the message says what is missing."""


@dataclass(frozen=True)
class Collected:
    """What is kept of a set of images: moments of every feature, and the pool features (N, D), float32, themselves."""

    moments: dict[str, Moments]
    rows: NDArray[np.float32]
    provenance: Provenance

    def gaussian(self, feature: str) -> Gaussian:
        return Gaussian(self.moments[feature].mean, self.moments[feature].covariance())


def collect(
    network: FeatureNetwork, chunks: Iterable[NDArray[np.uint8]], batch: int = 32, watch: Stopwatch | None = None
) -> Collected:
    """Features of all images, in batches of one size, the last one padded and cut back, so that no image is dropped.

    Chunks may have any length; the result does not depend on them. `watch` learns the seconds spent in FEATURES and
    STATISTICS. Raises ImageScoreError when there is no image.
    """
    features, digest = Features(network, batch, watch or Stopwatch()), hashlib.sha256()
    for images in chunks:
        digest.update(np.ascontiguousarray(images).data)
        features.add(images)
    return features.collected(digest.hexdigest())


class Features:
    """What is kept of images that come in chunks of any length; the result does not depend on these.

    `state` is all of it as arrays; an object of the same network and batch that is given it by `go_on` ends with the
    same bits.
    """

    def __init__(self, network: FeatureNetwork, batch: int, watch: Stopwatch) -> None:
        self._network, self._batch, self._watch = network, batch, watch
        self._moments: dict[str, Moments] = {}
        self._rows: list[NDArray[np.float32]] = []
        self._waiting: list[NDArray[np.uint8]] = []
        """Images of the last batch, which is not full yet."""

    def add(self, images: NDArray[np.uint8]) -> None:
        """Take images (n, H, W, 3)."""
        self._waiting.append(images)
        if sum(map(len, self._waiting)) < self._batch:
            return
        joined = np.concatenate(self._waiting)
        whole = len(joined) // self._batch * self._batch
        for part in np.split(joined[:whole], whole // self._batch):
            self._extract(part)
        self._waiting = [joined[whole:]]

    def collected(self, images_sha256: str = "") -> Collected:
        """All that was added, the last batch padded and cut back. Raises ImageScoreError when there was no image."""
        if not sum(map(len, self._waiting)) and not self._rows:
            raise ImageScoreError("no images to score")
        rest = np.concatenate(self._waiting)
        self._waiting = [rest[:0]]
        if len(rest):
            self._extract(rest)
        count, size = self._moments[POOL].count, (rest.shape[1], rest.shape[2])
        network = self._network
        made = Provenance(network.name, network.sha256, network.preparation, count, images_sha256, size)
        return Collected(self._moments, np.concatenate(self._rows), made)

    def state(self) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        if self._waiting:
            found["waiting"] = np.concatenate(self._waiting)
        if self._rows:
            found["rows"] = np.concatenate(self._rows)
        for name, moments in self._moments.items():
            found |= {f"{name}.count": np.array(moments.count), f"{name}.mean": moments.mean}
            found[f"{name}.scatter"] = moments.scatter()
        return found

    def go_on(self, state: Mapping[str, np.ndarray]) -> None:
        self._waiting = [state["waiting"]] if "waiting" in state else []
        self._rows = [state["rows"]] if "rows" in state else []
        for name in (key.removesuffix(".count") for key in state if key.endswith(".count")):
            parts = (state[f"{name}.{part}"] for part in ("mean", "scatter"))
            self._moments[name] = Moments.of(int(state[f"{name}.count"]), *parts)

    def _extract(self, images: NDArray[np.uint8]) -> None:
        with self._watch.part(FEATURES):
            padded = np.concatenate([images, np.repeat(images[-1:], self._batch - len(images), axis=0)])
            found = {name: np.asarray(array)[: len(images)] for name, array in self._network.extract(padded).items()}
        with self._watch.part(STATISTICS):
            for name, array in found.items():
                self._moments.setdefault(name, Moments(array.shape[1])).add(array)
            self._rows.append(found[POOL].astype(np.float32))


def scores(
    network: FeatureNetwork, samples: Collected, reference: Reference, reference_rows: NDArray[np.float32] | None = None
) -> dict[str, float]:
    """Every score that can be had, by name; precision and recall need pool features (M, D) of reference images.

    Raises MismatchError when samples and reference were made differently. Warns when there are no more samples than
    features, because the covariance is then singular and the distance far too large.
    """
    inception = network.name == INCEPTION
    names = ["fid" if inception else "fd"]
    if reference.spatial is not None and SPATIAL in samples.moments:
        names.append("sfid")
    if network.classify is not None:
        names.append("inception_score")
    if reference_rows is not None:
        names += ["precision", "recall"]
    found = asked_scores(names, network, samples, reference, reference_rows)
    return {name if name != "fd" else f"fd-{network.name}": value for name, value in found.items()}


def asked_scores(
    names: Iterable[str],
    network: FeatureNetwork,
    samples: Collected,
    reference: Reference | None,
    reference_rows: NDArray[np.float32] | None = None,
) -> dict[str, float]:
    """The scores of these names (`metrics.names.IMAGES`), in their order, each computed once.

    Raises ImageScoreError for one that needs what was not given, and MismatchError as `scores` does; warns as it does.
    """
    found: dict[str, float] = {}
    names = tuple(names)
    checked = _checked(names, network, samples, reference, reference_rows)
    for name in names:
        if name not in found:
            found |= _COMPUTE[name](checked)
    return {name: found[name] for name in names}


class _Given(NamedTuple):
    """What scores are computed from, everything that was asked for being there."""

    network: FeatureNetwork
    samples: Collected
    reference: Reference | None
    reference_rows: NDArray[np.float32] | None

    def distance(self, name: str, feature: str) -> dict[str, float]:
        assert self.reference is not None, "checked before"
        gaussian = self.reference.pool if feature == POOL else self.reference.spatial
        assert gaussian is not None, "checked before"
        return {name: _distance(self.samples, feature, gaussian)}

    def inception_score(self) -> dict[str, float]:
        assert self.network.classify is not None, "checked before"
        value = inception_score(self.network.classify(self.samples.rows))
        return {"is": value, "inception_score": value}

    def compared(self, compare: Callable[[np.ndarray, np.ndarray], Any]) -> dict[str, float]:
        found = compare(self.real, self.samples.rows)
        return dict(found._asdict())

    @property
    def real(self) -> NDArray[np.float32]:
        assert self.reference_rows is not None, "checked before"
        return self.reference_rows


_COMPUTE: dict[str, Callable[[_Given], dict[str, float]]] = {
    "fid": lambda given: given.distance("fid", POOL),
    "fd": lambda given: given.distance("fd", POOL),
    "sfid": lambda given: given.distance("sfid", SPATIAL),
    "is": _Given.inception_score,
    "inception_score": _Given.inception_score,
    "precision": lambda given: given.compared(precision_recall),
    "recall": lambda given: given.compared(precision_recall),
    "density": lambda given: given.compared(density_coverage),
    "coverage": lambda given: given.compared(density_coverage),
    "kid": lambda given: {"kid": squared_mmd(given.real, given.samples.rows)},
    "cmmd": lambda given: {"cmmd": unit_gaussian_mmd(given.real, given.samples.rows)},
}


def check_askable(names: Iterable[str], network: FeatureNetwork, reference: Reference | None) -> None:
    """Raise unless these scores can be had over the network and reference; no sample needs to exist yet.

    ImageScoreError says what is missing, MismatchError how network and reference differ.
    """
    needs = {name: IMAGES[name] for name in names}
    if wrong := [name for name, need in needs.items() if need.inception and network.name != INCEPTION]:
        raise ImageScoreError(f"{', '.join(wrong)}: defined over the Inception network, not {network.name}; ask for fd")
    compared = [name for name, need in needs.items() if need.statistics or need.images]
    if reference is None and (lacking := [name for name in compared if needs[name].statistics]):
        raise ImageScoreError(f"{', '.join(lacking)}: no reference statistics were given")
    if reference is None or not compared:
        return
    made = Provenance(network.name, network.sha256, network.preparation, 0, "")
    check_comparable(reference, made, len(reference.pool.mean))
    if "sfid" in needs and reference.spatial is None:
        raise ImageScoreError(
            f"sfid: reference {reference.name} has no mu_s and sigma_s; ADM's files have them, and so do those of "
            "`dit-grid evaluate --make-reference`"
        )


def _checked(
    names: Sequence[str], network: FeatureNetwork, samples: Collected, reference: Reference | None,
    rows: NDArray[np.float32] | None,
) -> _Given:  # fmt: skip
    check_askable(names, network, reference)
    count, features = samples.rows.shape
    if reference is not None:
        check_comparable(reference, samples.provenance, features)
    if any(IMAGES[name].statistics for name in names):
        _warn_of_few(count, features)
    if lacking := [name for name in names if IMAGES[name].images]:
        if rows is None:
            raise ImageScoreError(f"{', '.join(lacking)}: no features of reference images were given")
        if rows.shape[1] != features:
            raise MismatchError(f"{', '.join(lacking)}: {features} features of samples, {rows.shape[1]} of reference")
    return _Given(network, samples, reference, rows)


def _warn_of_few(count: int, features: int) -> None:
    if count <= features:
        warnings.warn(
            f"{count} samples for {features} features: their covariance is singular and the distance is biased upwards "
            "by far; compare only with figures at the same number, or draw 50,000",
            stacklevel=4,
        )


def _distance(samples: Collected, feature: str, reference: Gaussian) -> float:
    mean, covariance = samples.gaussian(feature)
    if len(mean) != len(reference.mean):
        raise MismatchError(
            f"{feature}: {len(mean)} features of the samples and {len(reference.mean)} of the reference"
        )
    return frechet_distance(mean, covariance, *reference).value
