"""Measuring a checkpoint as the spec says: samples scored by the dataset's metrics, and the loss on held-out images.

Every row carries each setting that can change its value. Same weights, same setting, same numbers, bit for bit.
"""

import hashlib
import io
import json
import time
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dit_grid.experiments.context import code_sha256
from dit_grid.experiments.data.dataset import Dataset
from dit_grid.experiments.metrics.registry import Metric, metrics_for
from dit_grid.experiments.spec.run import EvalSetting, RunSpec
from dit_grid.experiments.update import Program, TrainState, quick_compile
from dit_grid.model import sample_chunks

HELDOUT_LOSS = "heldout_loss"

HELDOUT_DRAWS = 8
"""Timesteps and noises a held-out image is measured at; with 297 images the standard error is about 1 % of the loss."""

SHEET_SAMPLES = 20
"""Samples kept as pictures of each evaluation; the same noise and labels for every model."""

CHUNK = 128
"""Samples drawn at a time, whose values do not depend on it. On CPUs fewer keep the activations in the cache."""


class Evaluation:
    """The measurements of one run; programs are compiled once and serve every checkpoint."""

    def __init__(self, run: RunSpec, program: Program, dataset: Dataset) -> None:
        self.run, self.program, self.dataset = run, program, dataset
        self._diffusions = {s.steps: program.diffusion.respace(s.steps) for s in run.evaluate.settings}
        self._loss = jax.jit(self._heldout_losses, compiler_options=quick_compile())
        self.sheet: np.ndarray | None = None
        """The first samples (n, H, W, C) of the latest evaluation, float32 in [-1, 1]."""

    def rows(self, step: int, state: TrainState) -> Iterator[dict[str, Any]]:
        """Yield a row of `records.EVALS` for each metric of each setting, measured on `state`."""
        for setting in self.run.evaluate.settings:
            params = state.ema if setting.weights == "ema" else state.params
            if HELDOUT_LOSS in setting.metrics:
                yield self._heldout_row(step, params, setting)
            asked = [name for name in setting.metrics if name != HELDOUT_LOSS]
            if asked:
                yield from self._sampled_rows(step, params, setting, asked)

    def samples(self, params: Any, setting: EvalSetting) -> tuple[np.ndarray, np.ndarray]:
        """Return the setting's samples (N, H, W, C) and the labels (N,) they were asked for."""
        labels = np.resize(self.dataset.labels, setting.samples)  # the data's own mix of classes
        chunks = sample_chunks(
            self.program.network(params), self._diffusions[setting.steps], labels, jax.random.key(setting.seed),
            chunk=min(CHUNK, setting.samples), sampler=setting.sampler, eta=setting.eta, clip=setting.clip,
            guidance=setting.guidance, guidance_channels=setting.guidance_channels, null_label=self.run.model.classes,
            compiler_options=quick_compile(),
        )  # fmt: skip
        return np.concatenate(list(chunks)), labels

    def _sampled_rows(self, step: int, params: Any, setting: EvalSetting, asked: list[str]) -> Iterator[dict[str, Any]]:
        started = time.perf_counter()
        samples, labels = self.samples(params, setting)
        self.sheet = samples[:SHEET_SAMPLES]
        scores = [(metric, metric.score(samples, labels)) for metric in map(self._metrics.__getitem__, asked)]
        seconds = time.perf_counter() - started
        for metric, value in scores:
            yield self._row(step, setting, metric.name, value, seconds, {
                "sampler": sampler_name(setting),
                "sampler_steps": setting.steps,
                "guidance": setting.guidance,
                "guidance_channels": setting.guidance_channels,
                "decoder": setting.decoder or "",
                "reference": metric.reference,
                "reference_sha256": metric.reference_sha256,
                "features": metric.features,
                "features_sha256": metric.features_sha256,
            })  # fmt: skip

    def _heldout_row(self, step: int, params: Any, setting: EvalSetting) -> dict[str, Any]:
        started = time.perf_counter()
        images, labels = (array[: setting.samples] for array in self.dataset.heldout())
        losses = self._loss(params, images, labels, jax.random.key(setting.seed))
        value = float(np.mean(np.asarray(losses), dtype=np.float64))
        return self._row(step, setting, HELDOUT_LOSS, value, time.perf_counter() - started, {
            "samples": len(images),
            "sampler": "",
            "reference": f"{self.dataset.name}-heldout",
            "reference_sha256": self.dataset.fingerprint,
            "features": f"{HELDOUT_DRAWS} timesteps an image",
        })  # fmt: skip

    def _heldout_losses(self, params: Any, images: jax.Array, labels: jax.Array, key: jax.Array) -> jax.Array:
        """Training losses (draws, N) at timesteps spread evenly over the schedule, the same for every model."""
        network, count, last = self.program.network(params), len(labels), self.run.diffusion.timesteps - 1

        def draw(_: None, d: jax.Array) -> tuple[None, jax.Array]:
            places = jnp.arange(count) * HELDOUT_DRAWS + d
            t = places * last // (count * HELDOUT_DRAWS - 1)
            noise = jax.random.normal(jax.random.fold_in(key, d), images.shape)
            terms = self.program.diffusion.training_losses(lambda x, t: network(x, t, labels), images, t, noise)
            return None, terms["loss"]

        return jax.lax.scan(draw, None, jnp.arange(HELDOUT_DRAWS))[1]

    def _row(
        self, step: int, setting: EvalSetting, metric: str, value: float, seconds: float, provenance: dict[str, Any]
    ) -> dict[str, Any]:
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
            "seconds": seconds,
        }

    @cached_property
    def _metrics(self) -> dict[str, Metric]:
        return {metric.name: metric for metric in metrics_for(self.dataset)}


def sampler_name(setting: EvalSetting) -> str:
    """Return the sampler with what else shapes its path, e.g. `ddim`, `ddim(eta=1)` or `dpmpp-2m(clip)`."""
    changes = [f"eta={setting.eta:g}"] if setting.eta else []
    changes += ["clip"] if setting.clip else []
    return f"{setting.sampler}({', '.join(changes)})" if changes else setting.sampler


def protocol(settings: dict[str, Any]) -> str:
    """Return 8 hex digits that name an evaluation's settings; the code's hash is provenance, not a setting."""
    chosen = {name: value for name, value in sorted(settings.items()) if name != "code_sha256"}
    return hashlib.sha256(json.dumps(chosen).encode()).hexdigest()[:8]


def npz_bytes(**arrays: np.ndarray) -> bytes:
    """Return the arrays as the bytes of an .npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
