"""From finished samples, pixels or latents, to the image metrics of a setting: decode, 8 bits, features, scores.

Drawing samples and writing rows is `evaluation`. Every stage works on a chunk at a time, and the time of each is kept.
"""

import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax import nnx
from numpy.typing import NDArray

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.data.latent_shards import LATENT_SCALE
from dit_grid.experiments.data.remote import exists, is_remote, local_copy
from dit_grid.experiments.evaluation.seen_samples import Decoder, Samples, SeenSamples
from dit_grid.experiments.metrics.extractors import feature_network, reference_rows
from dit_grid.experiments.metrics.image_scores import Collected, asked_scores, check_askable
from dit_grid.experiments.metrics.mistakes import decoder_mistake, without_reference
from dit_grid.experiments.metrics.names import IMAGES, INCEPTION
from dit_grid.experiments.metrics.reference import Reference, read_reference
from dit_grid.experiments.metrics.stopwatch import Stopwatch
from dit_grid.experiments.networks.features import FeatureNetwork
from dit_grid.experiments.networks.local_devices import batch_size, copied, decoded_at_once, spread
from dit_grid.experiments.networks.weight_places import weights_sha256
from dit_grid.experiments.spec.measurement import EvalSetting
from dit_grid.experiments.training.process_group import by_all


class Scored(NamedTuple):
    """Values by metric, the columns of `records.EVALS` that say what made them, and the first images, [-1, 1]."""

    values: dict[str, float]
    provenance: dict[str, Any]
    sheet: np.ndarray | None


class ImageEvaluation:
    """The decoders, feature networks and references of a run's settings, each read once; `files` says where they lie.

    Everything is read when this is made, so that a run does not fail after days for want of a file. Raises DataError,
    or what reading a file raises, for one that is missing, damaged, or does not fit.
    """

    def __init__(
        self, settings: tuple[EvalSetting, ...], files: Mapping[str, str], latents: bool, scaling: float = LATENT_SCALE
    ) -> None:  # fmt: skip
        """`latents` says whether samples are, and `scaling` what the run's latents were multiplied by."""
        self._files = files
        for setting in settings:
            if image_metrics(setting):
                _check_decoder(setting, latents)
                check_scaling(self._decoder(setting), scaling, setting.decoder or "")
                self._prepare(setting)

    def seen(self, setting: EvalSetting, keep: int = 0, watch: Stopwatch | None = None) -> SeenSamples:
        """Where samples of the setting are added; `keep` images are kept."""
        return SeenSamples(self._network(setting), self._decoder(setting), keep, watch or Stopwatch())

    def score(self, setting: EvalSetting, samples: Iterator[Samples], seen: SeenSamples) -> Scored:
        """Scores of the samples that all processes hold together, the same on each, and those seen before them.

        Raises SampleError for samples that are not finite.
        """
        collected = seen.joined(by_all(lambda: seen.add_all(samples)))
        with seen.watch.part("statistics"):
            values = self._scores(setting, self._network(setting), collected)
        return Scored(values, self.provenance(setting), seen.sheet)

    def _scores(self, setting: EvalSetting, network: FeatureNetwork, collected: Collected) -> dict[str, float]:
        asked = image_metrics(setting)
        reference = self._reference(setting)
        rows = self._rows(setting) if any(IMAGES[name].images for name in asked) else None
        return asked_scores(asked, network, collected, reference, rows)

    def _prepare(self, setting: EvalSetting) -> None:
        self._decoder(setting)
        if lacking := without_reference(setting):
            raise DataError(lacking)
        check_askable(image_metrics(setting), self._network(setting), self._reference(setting))
        if any(IMAGES[name].images for name in image_metrics(setting)):
            self._rows(setting)

    def provenance(self, setting: EvalSetting) -> dict[str, Any]:
        """The columns of `records.EVALS` that say what besides the samples makes the setting's scores."""
        network, decoder = self._network(setting), self._decoder(setting)
        reference = self._reference(setting)
        made = {
            "reference": setting.reference or "",
            "reference_sha256": reference.sha256 if reference else "",
            "features": f"{network.name}, {network.preparation}",
            "features_sha256": network.sha256,
        }
        return made | ({"decoder_sha256": decoder.sha256} if decoder else {})

    def _decoder(self, setting: EvalSetting) -> Decoder | None:
        return load_decoder(self._place(setting.decoder)) if setting.decoder else None

    def _network(self, setting: EvalSetting) -> FeatureNetwork:
        name = features_name(setting)
        place = self._files.get(name) if ":" in name else self._place(name)
        return _load_network(name, place)

    def _reference(self, setting: EvalSetting) -> Reference | None:
        return _load_reference(self._place(setting.reference)) if setting.reference else None

    def _rows(self, setting: EvalSetting) -> NDArray[np.float32]:
        assert setting.reference is not None, "a setting that compares with images was refused without one"
        name = features_name(setting)
        return _load_rows(self._place(setting.reference), name, self._files.get(name))

    def _place(self, name: str) -> str:
        if name not in self._files:
            raise DataError(f"{name!r} has no file; say where it lies: `evaluate: {{files: {{{name}: PATH}}}}`")
        return self._files[name]


def image_metrics(setting: EvalSetting) -> list[str]:
    """The metrics of a setting that are computed from images and a feature network."""
    return [name for name in setting.metrics if name in IMAGES]


def features_name(setting: EvalSetting) -> str:
    """The feature network of a setting; Inception where it names none."""
    return setting.features or INCEPTION


def check_scaling(decoder: Decoder | None, scaling: float, name: str) -> None:
    """Raise DataError unless the decoder takes latents of that scale."""
    if decoder is not None and decoder.scaling != scaling:
        raise DataError(
            f"decoder {name}: its scaling factor is {decoder.scaling:g}, but the run's latents were multiplied by "
            f"{scaling:g}: take the autoencoder that made them, with its config.json"
        )


def _check_decoder(setting: EvalSetting, latents: bool) -> None:
    if message := decoder_mistake(setting, latents):
        raise DataError(message)


# What is read stays for the life of the process: twelve runs of a grid in one process read a file once.


@cache
def load_decoder(place: str) -> Decoder:
    """The autoencoder in a file of weights, on a disk or at gs://, and the hash of its weights; read once a process.

    Raises DataError where a bucket does not answer, VAEWeightsError for a file that is missing or no such network.
    """
    from dit_grid.experiments.networks.autoencoder import compiled_decode
    from dit_grid.experiments.networks.autoencoder_weights import load_vae

    path = local_copy(place)
    network = load_vae(path, _config_of(place))
    graph, weights = nnx.split(network)
    decode = compiled_decode(nnx.merge(graph, copied(weights)))
    batch = decoded_at_once()

    def in_batches(latents: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(latents), batch):
            part = latents[start : start + batch]
            padded = np.concatenate([part, np.repeat(part[-1:], batch - len(part), axis=0)])
            parts.append(decode(spread(padded))[: len(part)])
        return np.concatenate(parts)

    return Decoder(in_batches, weights_sha256(path), network.config.scaling)


def _config_of(place: str) -> Path | None:
    """A copy of diffusers' `config.json` beside weights at gs://; on a disk the reader finds it itself."""
    beside = f"{place.rpartition('/')[0]}/config.json"
    return local_copy(beside) if is_remote(place) and exists(beside) else None


@cache
def _load_network(name: str, place: str | None) -> FeatureNetwork:
    with warnings.catch_warnings():
        warnings.simplefilter("once")
        return feature_network(name, _copy(place))


@cache
def _load_reference(place: str) -> Reference:
    return read_reference(local_copy(place))


@cache
def _load_rows(place: str, name: str, weights: str | None) -> NDArray[np.float32]:
    network = _load_network(name, weights)
    return reference_rows(local_copy(place), _load_reference(place), network, batch_size())


def _copy(place: str | None) -> Path | None:
    return None if place is None else local_copy(place)
