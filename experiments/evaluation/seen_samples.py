"""What is kept of a setting's samples while they are drawn, on one process: images seen, their features, the first few.

Which network and decoder a setting wants, and the scores, are `sample_scoring`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dit_grid.experiments.data.image_arrays import to_uint8
from dit_grid.experiments.data.latent_shards import LATENT_SCALE
from dit_grid.experiments.metrics.dataset_metrics import SampleError
from dit_grid.experiments.metrics.image_scores import Collected, Features
from dit_grid.experiments.metrics.moments import Moments
from dit_grid.experiments.metrics.stopwatch import Stopwatch
from dit_grid.experiments.networks.features import FeatureNetwork
from dit_grid.experiments.networks.local_devices import batch_size
from dit_grid.experiments.training.gather import gathered

DECODING = "decoding"

Samples = tuple[NDArray[np.int64], np.ndarray]
"""Places of samples in the whole set, and the samples (n, H, W, C), pixels in [-1, 1] or scaled latents."""


class Decoder(NamedTuple):
    """Scaled latents (B, H, W, C), B of any size, to images in about [-1, 1]; the hash of the weights' file, and the
    scale that the latents have been multiplied by."""

    decode: Callable[[np.ndarray], np.ndarray]
    sha256: str
    scaling: float = LATENT_SCALE


class SeenSamples:
    """Of a setting's samples, those that this process has decoded and measured; `keep` are kept as pictures."""

    def __init__(self, network: FeatureNetwork, decoder: Decoder | None, keep: int, watch: Stopwatch) -> None:
        self.watch, self._decoder, self._keep = watch, decoder, keep
        self._features = Features(network, batch_size(), watch)
        self._places: list[NDArray[np.int64]] = []
        self._sheet: list[np.ndarray] = []
        self._broken = False

    def add_all(self, samples: Iterator[Samples]) -> Collected:
        """What is collected once all samples were added. Raises SampleError for samples that are not finite."""
        try:
            for places, chunk in samples:
                if len(places):
                    self._add(places, chunk)
            return self._features.collected()
        except Exception:
            self._broken = True
            for _ in samples:  # all processes draw together: who stops drawing keeps the others waiting
                pass
            raise

    def joined(self, own: Collected) -> Collected:
        """What all processes collected, as one; rows in the order of the samples' places, whoever had them."""
        order = np.argsort(np.concatenate(gathered(np.concatenate(self._places))), kind="stable")
        moments = {name: _merged(part) for name, part in own.moments.items()}
        rows = np.concatenate(gathered(own.rows))[order]
        return Collected(moments, rows, own.provenance)

    @property
    def sheet(self) -> np.ndarray | None:
        """The first images in [-1, 1], of those that this process has."""
        return np.concatenate(self._sheet) if self._sheet else None

    def state(self) -> dict[str, np.ndarray] | None:
        """All of it as arrays, for `go_on`; None after a failure."""
        if self._broken:
            return None
        found = {"places": np.concatenate(self._places)} if self._places else {}
        found |= {"sheet": np.concatenate(self._sheet)} if self._sheet else {}
        return found | {f"features.{name}": array for name, array in self._features.state().items()}

    def go_on(self, state: Mapping[str, np.ndarray]) -> None:
        """Be as the process was that gave this state."""
        self._places = [state["places"]] if "places" in state else []
        self._sheet = [state["sheet"]] if "sheet" in state else []
        prefix = "features."
        self._features.go_on({k.removeprefix(prefix): array for k, array in state.items() if k.startswith(prefix)})

    def _add(self, places: NDArray[np.int64], chunk: np.ndarray) -> None:
        with self.watch.part(DECODING):
            pixels = to_uint8(_finite(self._decoder.decode(_finite(chunk)) if self._decoder else chunk))
        self._places.append(places)
        if places[0] < self._keep:
            self._sheet.append(pixels[: self._keep - places[0]] / np.float32(127.5) - 1)
        self._features.add(_rgb(pixels))


def _merged(own: Moments) -> Moments:
    counts, means, scatters = (gathered(np.asarray(x)[None]) for x in (own.count, own.mean, own.scatter()))
    first, *others = (Moments.of(int(n[0]), m[0], s[0]) for n, m, s in zip(counts, means, scatters, strict=True))
    for other in others:
        first.merge(other)
    return first


def _finite(samples: np.ndarray) -> np.ndarray:
    broken = int(np.count_nonzero(~np.isfinite(samples).reshape(len(samples), -1).all(axis=1)))
    if broken:
        raise SampleError(
            f"{broken} of {len(samples)} samples of a chunk hold NaN or infinity; did the training diverge? nothing is "
            "scored"
        )
    return samples


def _rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if pixels.shape[-1] not in (1, 3):
        raise SampleError(f"samples have {pixels.shape[-1]} channels; images have 3, or 1 if they are grey")
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels
