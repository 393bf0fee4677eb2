"""Pictures from trained networks: of a run's checkpoint, or of published weights, as 8-bit images in chunks.

What a sample shows depends on its label, its number and the settings alone, so runs share their noise. Sheets are drawn
by `sheets`, files of many samples written by `sample_files`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from dit_grid.experiments.data.conditions import conditions, dataset_of, null_condition
from dit_grid.experiments.data.dataset import DataError, Dataset
from dit_grid.experiments.data.image_arrays import to_uint8
from dit_grid.experiments.data.latents import LatentFolder
from dit_grid.experiments.evaluation.sample_labels import sample_labels
from dit_grid.experiments.evaluation.sample_scoring import Decoder, check_scaling, load_decoder
from dit_grid.experiments.metrics.dataset_metrics import SampleError
from dit_grid.experiments.networks.published import load_dit
from dit_grid.experiments.networks.weight_places import weights_sha256
from dit_grid.experiments.spec.measurement import EvalSetting
from dit_grid.experiments.spec.objective import sampling_mistake
from dit_grid.experiments.spec.run import DiffusionSpec, RunSpec
from dit_grid.experiments.store import Store, StoreError
from dit_grid.experiments.training.checkpoints import BadCheckpointError, Checkpoints
from dit_grid.experiments.training.update import Program, make_diffusion, quick_compile
from dit_grid.model import DiT, DiTConfig, sample_chunks
from dit_grid.model.flow import Process
from dit_grid.model.samplers import PAPER_GUIDANCE_CHANNELS

PUBLISHED = EvalSetting(metrics=("fid",), guidance_channels=PAPER_GUIDANCE_CHANNELS, labels="uniform")
"""How the paper samples: 250 steps of its whole schedule, guidance on three of four channels, labels at random."""

CHUNK, CHUNK_VALUES = 128, 2**24
"""Most samples drawn at a time on a device, and most of tokens × width of them, which memory goes by."""


@dataclass(frozen=True)
class Source:
    """A network to draw from, with what its samples need to become images. `setting` is how it samples by default.

    `made_of` says which weights these are, `mesh` where they lie; `data` gives the dataset, for its mix of classes.
    """

    title: str
    network: DiT
    objective: DiffusionSpec
    condition: Callable[[NDArray[np.int32]], Any]
    null: Any
    classes: int
    decoder: Decoder | None
    setting: EvalSetting
    made_of: dict[str, Any]
    mesh: Mesh
    data: Callable[[], Dataset] | None = None

    @property
    def config(self) -> DiTConfig:
        return self.network.config


def run_spec(store: Store, run_id: str, data: str | None = None) -> RunSpec:
    """The spec of a run in the store, its data and files where its last training found them, or `data` if given.

    Raises StoreError for a run that was imported and has none.
    """
    spec = store.runs([run_id], columns=["spec"]).to_pylist()[0]["spec"]
    try:
        held = json.loads(spec)
        # How it was executed is not kept, and the default need not fit how often it logged; nothing here asks.
        held["execution"] = {"checkpoint_every": held["evaluate"]["every"]}
        places = _places(store, run_id)
        held["data"] |= {"path": data or places.get("data")}
        held["evaluate"] |= {"files": places.get("files", {})}
        return RunSpec.model_validate(held)
    except (ValueError, LookupError, TypeError) as error:
        where = f"{run_id} in {store.paths.root}"
        raise StoreError(f"{where}: no network of dit-grid; it was imported, or has a trainer of its own") from error


def _places(store: Store, run_id: str) -> dict[str, Any]:
    """Where the newest attempt that says so found data and files."""
    said = [record.start.get("places") for record in store.attempts(run_id)]
    return next((places for places in reversed(said) if isinstance(places, dict)), {})


def source_of_run(
    store: Store, run_id: str, step: int | None = None, weights: Literal["ema", "raw"] | None = None,
    vae: str | None = None, data: str | None = None,
) -> Source:  # fmt: skip
    """The network of a run's checkpoint, the newest live one unless `step` is given; `data` is where its data lie.

    Raises StoreError when there is no such checkpoint or it cannot be read, DataError when samples are latents and no
    decoder is known.
    """
    run = run_spec(store, run_id, data)
    setting = default_setting(run)
    setting = setting.model_copy(update={"weights": weights or setting.weights})
    decoder = _decoder(run, setting, vae)
    checkpoints = Checkpoints(store, run_id)
    try:
        attempt, step = chosen_checkpoint(checkpoints, step)
        program = Program(run)
        state = restored(checkpoints, attempt, step, program)
    finally:
        checkpoints.close()
    params = state.ema if setting.weights == "ema" else state.params
    source = Source(
        title=f"{run.model.name}, step {step:,} ({setting.weights})",
        network=program.network(params),
        objective=run.diffusion,
        condition=lambda labels: labels,
        null=null_condition(run),
        classes=run.model.classes,
        decoder=decoder,
        setting=setting,
        made_of={"run_id": run_id, "attempt": attempt, "step": step, "weights": setting.weights},
        mesh=program.mesh,
        data=lambda: dataset_of(run),
    )
    if run.model.context_width is None:
        return source
    dataset = dataset_of(run)
    return replace(source, condition=lambda labels: conditions(run, dataset, labels), classes=dataset.classes)


def source_of_file(
    path: Path, vae: str | None, weights: Literal["ema", "raw"] = "ema", model: str | None = None,
    image_size: int | None = None, objective: Mapping[str, Any] | None = None,
) -> Source:  # fmt: skip
    """The network of a published or imported weight file, sampled as its paper does; `image_size` is in latents.

    `objective` is what a SiT file may not say of itself, as for `load_dit`. Raises WeightsError and its like for a
    file that does not hold the network, DataError for latents without a VAE.
    """
    network, process = load_dit(path, weights, objective, model=model, image_size=image_size)
    config = network.config
    decoder = load_decoder(vae) if vae else None
    _check_images(config.channels, decoder, str(path))
    return Source(
        title=f"{path.stem} ({config.image_size} x {config.image_size} latents)",
        network=network,
        objective=process,
        condition=lambda labels: labels,
        null=config.classes,
        classes=config.classes,
        decoder=decoder,
        setting=PUBLISHED.model_copy(update={"sampler": own_sampler(process)}),
        made_of={"weights_file": path.name, "weights_sha256": weights_sha256(path), "weights": weights},
        mesh=Mesh(np.array(jax.local_devices()), ("samples",)),
    )


def default_setting(run: RunSpec) -> EvalSetting:
    """The first setting by which the run's spec draws samples; if it draws none, its objective's own sampler."""
    drawing = [setting for setting in run.evaluate.settings if setting.draws]
    return drawing[0] if drawing else EvalSetting(metrics=("fid",), sampler=own_sampler(run.diffusion))


def own_sampler(objective: DiffusionSpec) -> Any:
    """The sampler of 250 steps that published numbers are by: DiT's ancestral one, SiT's stochastic one on a path."""
    return "sde-euler" if objective.path else "ddpm"


def asked_labels(source: Source, setting: EvalSetting, count: int) -> NDArray[np.int32]:
    """The labels (count,) of a large set of samples, by `setting.labels`. Raises DataError when the data are needed
    and not there, or there are none."""
    wanted = setting.model_copy(update={"samples": count})
    if setting.labels == "uniform":
        return sample_labels(_Classes(source.classes), wanted)  # type: ignore[arg-type]
    if source.data is None:
        raise DataError("labels of the data were asked for, but weights from a file come without data; take uniform")
    return sample_labels(source.data(), wanted)


def draw(
    source: Source, setting: EvalSetting, labels: NDArray[np.int32], numbers: NDArray[np.int64]
) -> Iterator[NDArray[np.uint8]]:
    """Yield images (n, H, W, C), uint8, of samples with these labels and noise numbers, a chunk at a time.

    Raises SampleError for samples that are not finite, and for more steps than the schedule has.
    """
    mesh = source.mesh
    chunk = min(chunk_size(source.config) * mesh.size, -(-len(labels) // mesh.size) * mesh.size)
    for samples in sample_chunks(
        source.network, process_for(source.objective, setting), source.condition(labels),
        jax.random.key(setting.seed), chunk=chunk, numbers=numbers, mesh=mesh if mesh.size > 1 else None,
        null_label=source.null, compiler_options=quick_compile(), **setting.options,
    ):  # fmt: skip
        _check_finite(samples, source.title)
        images = source.decoder.decode(samples) if source.decoder else samples
        _check_finite(images, f"{source.title}, decoded")
        yield to_uint8(images)


def process_for(objective: DiffusionSpec, setting: EvalSetting) -> Process:
    """The process over the setting's steps. Raises SampleError when its sampler does not go with the objective, or it
    has fewer steps."""
    if mistake := sampling_mistake(objective, setting):
        field, value, why = mistake
        raise SampleError(f"{'sampler steps' if field == 'steps' else field} {value}: {why}")
    try:
        return make_diffusion(objective).respace(setting.steps)
    except ValueError as error:
        raise SampleError(f"sampler steps {setting.steps}: {error}") from error


def restored(checkpoints: Checkpoints, attempt: int, step: int, program: Program) -> Any:
    """The state of a checkpoint. Raises StoreError when it cannot be read."""
    try:
        return checkpoints.restore(attempt, step, program.state_shapes())
    except BadCheckpointError as error:
        raise StoreError(f"{str(error).splitlines()[0]}; take another with --step") from error


def chunk_size(config: DiTConfig) -> int:
    """Samples drawn at a time on one device; their values do not depend on it."""
    return max(1, min(CHUNK, CHUNK_VALUES // (config.tokens * config.width)))


def described(source: Source, setting: EvalSetting) -> dict[str, Any]:
    """Everything that decides what a sample of a given label and number looks like, for the record."""
    decoder = {"decoder_sha256": source.decoder.sha256} if source.decoder else {}
    interval = setting.guidance_interval
    return source.made_of | decoder | {
        "sampler": setting.sampler_name, "sampler_steps": setting.evaluations, "guidance": setting.guidance,
        "guidance_channels": setting.guidance_channels, "guidance_interval": list(interval) if interval else None,
        "seed": setting.seed,
    }  # fmt: skip


@dataclass(frozen=True)
class _Classes:
    """What uniform labels need of a dataset."""

    classes: int


def chosen_checkpoint(checkpoints: Checkpoints, step: int | None) -> tuple[int, int]:
    """Attempt and step of the live checkpoint asked for, the newest without `step`. Raises StoreError for none."""
    live = checkpoints.live()
    chosen = [(attempt, at) for at, attempt in live if step is None or at == step]
    if chosen:
        return chosen[-1]
    where = f"{checkpoints.run_id} in {checkpoints.store.paths.root}"
    if live:
        steps = ", ".join(f"{at:,}" for at in sorted({at for at, _ in live}))
        raise StoreError(f"{where}: no checkpoint at step {step:,}; there are some at {steps}")
    raise StoreError(f"{where}: no checkpoint; dit-grid launch trains the run and keeps its last ones")


def _decoder(run: RunSpec, setting: EvalSetting, vae: str | None) -> Decoder | None:
    if vae is not None:
        decoder: Decoder | None = load_decoder(vae)
    elif setting.decoder and setting.decoder in run.evaluate.files:
        decoder = load_decoder(run.evaluate.files[setting.decoder])
    else:
        decoder = None
    _check_images(run.model.channels, decoder, run.id)
    if decoder is not None:
        check_scaling(decoder, _scaling_of(run, decoder.scaling), vae or setting.decoder or "")
    return decoder


def _scaling_of(run: RunSpec, otherwise: float) -> float:
    """What the run's latents were multiplied by; `otherwise` where its data cannot be reached from here."""
    try:
        dataset = dataset_of(run)
    except (DataError, OSError):
        return otherwise
    return dataset.scaling if isinstance(dataset, LatentFolder) else otherwise


def _check_images(channels: int, decoder: Decoder | None, what: str) -> None:
    if decoder is None and channels not in (1, 3):
        raise DataError(
            f"{what}: samples have {channels} channels, so they are latents; add --vae FILE, the autoencoder that "
            "turns them into images (sd-vae-ft-mse for the paper's numbers)"
        )
    if decoder is not None and channels in (1, 3):
        raise DataError(f"{what}: samples have {channels} channels and are images already; leave --vae out")


def _check_finite(samples: np.ndarray, what: str) -> None:
    broken = int(np.count_nonzero(~np.isfinite(samples).reshape(len(samples), -1).all(axis=1)))
    if broken:
        raise SampleError(f"{what}: {broken} of {len(samples)} samples hold NaN or infinity; did the training diverge?")
