"""Measuring a checkpoint as the spec says: samples scored by the dataset's metrics, and the loss on held-out images.

Every row carries each setting that can change its value. Same weights, same setting, same numbers, bit for bit.
"""

import io
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import jax
import numpy as np

from dit_grid.experiments.data.conditions import conditions, null_condition
from dit_grid.experiments.data.dataset import DataError, Dataset
from dit_grid.experiments.data.latent_shards import LATENT_SCALE
from dit_grid.experiments.data.latents import LatentFolder
from dit_grid.experiments.evaluation.heldout_loss import DRAWS, heldout_losses
from dit_grid.experiments.evaluation.partial_state import Accumulated, PartialEvaluation, Row, State
from dit_grid.experiments.evaluation.sample_labels import names_of, sample_labels
from dit_grid.experiments.evaluation.sample_scoring import ImageEvaluation, image_metrics
from dit_grid.experiments.evaluation.seen_samples import Samples
from dit_grid.experiments.metrics.dataset_metrics import Metric, metrics_named
from dit_grid.experiments.metrics.mistakes import mistakes
from dit_grid.experiments.metrics.names import HELDOUT_LOSS, IMAGES
from dit_grid.experiments.metrics.stopwatch import Stopwatch
from dit_grid.experiments.spec.execution import SAMPLE_BATCH
from dit_grid.experiments.spec.measurement import EvalSetting
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.store.provenance import protocol
from dit_grid.experiments.training.carried_state import TrainState
from dit_grid.experiments.training.compiler_options import quick_compile
from dit_grid.experiments.training.context import code_sha256
from dit_grid.experiments.training.update import Program, condition_shape
from dit_grid.model import sample_chunks
from dit_grid.model.samplers import lower_chunk

SHEET_SAMPLES = 20
"""Samples kept as pictures of each evaluation; the same noise and labels for every model."""

PARTS = ("sampling", "decoding", "features", "statistics")
"""What an evaluation's time is reported by."""


class Evaluation:
    """The measurements of one run; programs are compiled once and serve every checkpoint."""

    def __init__(self, run: RunSpec, program: Program, dataset: Dataset) -> None:
        self.run, self.program, self.dataset = run, program, dataset
        self._diffusions = {s.steps: program.diffusion.respace(s.steps) for s in run.evaluate.settings if s.draws}
        self.sheet: np.ndarray | None = None
        """The first samples (n, H, W, C) of the latest evaluation, decoded if they were latents, in [-1, 1]."""
        self._sheet_of: EvalSetting | None = None
        check_metrics(run, dataset)
        latents = isinstance(dataset, LatentFolder)
        scaling = dataset.scaling if isinstance(dataset, LatentFolder) else LATENT_SCALE
        self._images = ImageEvaluation(run.evaluate.settings, run.evaluate.files, latents, scaling)

    def settings_at(self, step: int) -> list[EvalSetting]:
        """Return the settings that are measured after `step` updates, where the run is measured then at all."""
        ended = step == self.run.train.steps
        return [setting for setting in self.run.evaluate.settings if ended or setting.when != "end"]

    def rows(self, step: int, state: TrainState, partial: PartialEvaluation | None = None) -> Iterator[dict[str, Any]]:
        """Yield a row of `records.EVALS` for each metric of each setting, measured on `state`.

        `partial` keeps what is measured so far, and goes on from what it kept. Raises StoppedError if it was to stop.
        """
        partial = partial or PartialEvaluation()
        partial.take_up(self._asked(step))
        self.sheet = None
        for setting in self.settings_at(step):
            params = state.ema if setting.weights == "ema" else state.params
            for measurement in self._measurements(step, params, setting, partial):
                yield from partial.measured(measurement)
                self.sheet = partial.sheet
                self._sheet_of = setting if image_metrics(setting) or _own_metrics(setting) else self._sheet_of

    def sheet_arrays(self) -> dict[str, np.ndarray]:
        """Return the sheet as it is stored, empty where there is none.

        `samples`, the `labels` (n,) asked for, and where the data names its classes, `class_names` (n,) of these.
        """
        if self.sheet is None or self._sheet_of is None:
            return {}
        labels = sample_labels(self.dataset, self._sheet_of)[: len(self.sheet)]
        names = names_of(self.dataset, labels)
        return {"samples": self.sheet, "labels": labels} | ({} if names is None else {"class_names": names})

    def _measurements(
        self, step: int, params: Any, setting: EvalSetting, partial: PartialEvaluation
    ) -> Iterator[Iterator[Row]]:
        """Yield the rows of each measurement of the setting; nothing is measured before they are asked for."""
        if HELDOUT_LOSS in setting.metrics:
            yield self._heldout_rows(step, params, setting)
        if image_metrics(setting):
            yield self._image_rows(step, params, setting, partial)
        if _own_metrics(setting):
            yield self._sampled_rows(step, params, setting, partial)

    def _asked(self, step: int) -> dict[str, Any]:
        """All that decides the rows but the weights."""
        settings = self.settings_at(step)
        return {
            "run": self.run.id,
            "dataset_sha256": self.dataset.fingerprint,
            "settings": [setting.model_dump(mode="json") for setting in settings],
            "files": [self._images.provenance(setting) for setting in settings if image_metrics(setting)],
        }

    def samples(self, params: Any, setting: EvalSetting) -> tuple[np.ndarray, np.ndarray]:
        """Return the setting's samples (N, H, W, C) and the labels (N,) they were asked for."""
        return np.concatenate(list(self._chunks(params, setting))), sample_labels(self.dataset, setting)

    def _chunks(self, params: Any, setting: EvalSetting, start: int = 0) -> Iterator[np.ndarray]:
        """Yield the setting's samples in order, the same on every process, from the one at `start` on."""
        if start == setting.samples:
            return iter(())
        condition = conditions(self.run, self.dataset, sample_labels(self.dataset, setting))
        return sample_chunks(
            self.program.network(params), self._diffusions[setting.steps],
            jax.tree.map(lambda leaf: leaf[start:], condition), jax.random.key(setting.seed),
            numbers=np.arange(start, setting.samples), compiler_options=quick_compile(),
            **_drawing(self.program, setting),
        )  # fmt: skip

    def _image_rows(self, step: int, params: Any, setting: EvalSetting, partial: PartialEvaluation) -> Iterator[Row]:
        watch = Stopwatch()
        seen = self._images.seen(setting, SHEET_SAMPLES, watch)
        chunks = self._drawn(params, setting, partial, seen, watch)
        found = self._images.score(setting, own_part(chunks), seen)
        partial.sheet = found.sheet
        spent = _spent(watch)
        for name, value in found.values.items():
            settings = self._sampling(setting) | found.provenance
            yield self._row(step, setting, name, value, spent, settings)

    def _sampled_rows(self, step: int, params: Any, setting: EvalSetting, partial: PartialEvaluation) -> Iterator[Row]:
        watch, kept = Stopwatch(), _Kept()
        for _, chunk in self._drawn(params, setting, partial, kept, watch):
            kept.chunks.append(chunk)
        samples, labels = np.concatenate(kept.chunks), sample_labels(self.dataset, setting)
        partial.sheet = samples[:SHEET_SAMPLES]
        with watch.part("statistics"):
            asked = [self._metrics[name] for name in _own_metrics(setting)]
            scores = [(metric, metric.score(samples, labels)) for metric in asked]
        spent = _spent(watch)
        for metric, value in scores:
            yield self._row(step, setting, metric.name, value, spent, self._sampling(setting) | {
                "reference": metric.reference,
                "reference_sha256": metric.reference_sha256,
                "features": metric.features,
                "features_sha256": metric.features_sha256,
            })  # fmt: skip

    def _drawn(
        self, params: Any, setting: EvalSetting, partial: PartialEvaluation, so_far: Accumulated, watch: Stopwatch
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield what is still to be drawn of the setting's samples, with its place."""
        return partial.drawn(lambda start: watch.timed("sampling", self._chunks(params, setting, start)), so_far, watch)

    def _heldout_rows(self, step: int, params: Any, setting: EvalSetting) -> Iterator[Row]:
        watch = Stopwatch()
        images, labels = (array[: setting.samples] for array in self.dataset.heldout())
        condition = conditions(self.run, self.dataset, labels)
        losses = heldout_losses(self.program, params, images, condition, setting.seed)
        value = float(np.mean(losses, dtype=np.float64))
        yield self._row(step, setting, HELDOUT_LOSS, value, _spent(watch), {
            "samples": len(images),
            "sampler": "",
            "reference": f"{self.dataset.name}-heldout",
            "reference_sha256": self.dataset.fingerprint,
            "features": f"{DRAWS} timesteps an image",
        })  # fmt: skip

    def _row(
        self, step: int, setting: EvalSetting, metric: str, value: float, spent: dict[str, float],
        provenance: dict[str, Any],
    ) -> Row:  # fmt: skip
        settings = {
            "samples": setting.samples,
            "weights": setting.weights,
            "seed": setting.seed,
            **provenance,
            "code_sha256": code_sha256(),
        }
        return {
            "step": step,
            "metric": metric,
            "value": value,
            "protocol": protocol(settings),
            **settings,
            **spent,
        }

    @staticmethod
    def _sampling(setting: EvalSetting) -> dict[str, Any]:
        """The columns that say how samples were drawn."""
        drawn = {
            "sampler": setting.sampler_name,
            "sampler_steps": setting.evaluations,
            "guidance": setting.guidance,
            "guidance_channels": setting.guidance_channels,
            "decoder": setting.decoder or "",
        }
        return drawn | ({"labels": setting.labels} if setting.labels != "data" else {})

    @cached_property
    def _metrics(self) -> dict[str, Metric]:
        asked = (name for setting in self.run.evaluate.settings for name in _own_metrics(setting))
        return metrics_named(dict.fromkeys(asked), self.dataset)


def _drawing(program: Program, setting: EvalSetting) -> dict[str, Any]:
    """How the setting's samples are drawn, as `sample_chunks` is told: chunks, devices, and what the sampler does."""
    run, mesh = program.run, program.mesh
    even = -(-setting.samples // mesh.size) * mesh.size
    return {
        "chunk": min((run.execution.sample_batch or SAMPLE_BATCH) * mesh.size, even),
        "mesh": mesh if mesh.size > 1 else None,
        "null_label": null_condition(run),
        **setting.options,
    }


def lower_sampling(program: Program, setting: EvalSetting) -> tuple[jax.stages.Lowered, Any]:
    """Return what draws a chunk of the setting's samples from a training state of the program, ready to compile, and
    its arguments beside the network, as shapes. Nothing runs."""
    network, diffusion = program.network(program.state_shapes().ema), program.diffusion.respace(setting.steps)
    return lower_chunk(network, diffusion, condition_shape(program.run), **_drawing(program, setting))


def check_metrics(run: RunSpec, dataset: Dataset) -> None:
    """Raise DataError, with the nearest name, for a metric of the run's settings that its dataset does not have."""
    holds_out = len(dataset.labels) != dataset.train_size
    for _, message in mistakes(run.evaluate.settings, dataset.name, holds_out, isinstance(dataset, LatentFolder)):
        raise DataError(message)


def own_part(chunks: Iterable[tuple[int, np.ndarray]]) -> Iterator[Samples]:
    """Of each chunk and the place of its first sample, which all processes have whole, the part of this one."""
    for place, chunk in chunks:
        rows = np.array_split(np.arange(len(chunk)), jax.process_count())[jax.process_index()]
        yield place + rows, chunk[rows]


def npz_bytes(**arrays: np.ndarray) -> bytes:
    """Return the arrays as the bytes of an .npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


class _Kept:
    """Samples themselves, where their metrics want all at once; every process has all."""

    def __init__(self) -> None:
        self.chunks: list[np.ndarray] = []

    def state(self) -> State:
        return {"samples": np.concatenate(self.chunks)}

    def go_on(self, state: State) -> None:
        self.chunks = [state["samples"]]


def _own_metrics(setting: EvalSetting) -> list[str]:
    """The metrics of a setting that its dataset defines."""
    return [name for name in setting.metrics if name != HELDOUT_LOSS and name not in IMAGES]


def _spent(watch: Stopwatch) -> dict[str, float]:
    return {"seconds": watch.total, **{f"{part}_s": watch.seconds[part] for part in PARTS if part in watch.seconds}}
