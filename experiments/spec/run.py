"""What one run is: frozen records that hold everything that can change a number, and the run's id made from them.

Reading YAML into these records is `source` and `expand`; nothing below this module reads a file, the
environment or a flag.
"""

import hashlib
import json
import math
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, field_validator, model_validator

from dit_grid.experiments.spec.objective import DISCRETE_SAMPLERS, FLOW_SAMPLERS, DiffusionSpec, sampling_mistake
from dit_grid.experiments.spec.record import Count, Record, Seed, Side, Steps, UnitInterval, later, one_of
from dit_grid.experiments.spec.slices import slice_mistake
from dit_grid.experiments.spec.source import LARGEST
from dit_grid.model.accounting import forward_macs, trainable_params
from dit_grid.model.config import BLOCKS, DiTConfig

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""Names that become a part of file names: no `..`, no hidden file, no option of a command."""

MOST_EVALUATIONS = 100_000
"""Times that one run is measured or checkpointed, at most."""

HELDOUT_LOSS = "heldout_loss"
"""The metric for which nothing is sampled."""

BASE_WIDTH = 288
"""Four heads of 72, those of DiT-XL: the proxy of Zheng et al. (2025), arXiv 2505.15270."""


class ModelSpec(Record):
    """The network: a named size and patch, or explicit width, depth and heads.

    With `context_width` it is conditioned on captions, sequences of up to `context_length` embeddings of that width, in
    place of class labels; the dataset says what they are.
    """

    size: Annotated[str, Field(pattern=NAME, max_length=100)]
    patch: Side
    image_size: Side
    channels: Side = 4
    classes: Count = 1000
    block: Annotated[str, one_of("blocks", *BLOCKS)] = "adaln-zero"
    width: Side
    depth: Side
    heads: Side
    mlp_ratio: Side = 4
    context_width: Side | None = later(None)
    context_length: Side = later(1)

    @property
    def name(self) -> str:
        """Size and patch in the paper's form, e.g. `XL/2`."""
        return f"{self.size}/{self.patch}"

    def config(self, learn_sigma: bool = True) -> DiTConfig:
        """The network's own configuration; ValueError where sizes do not divide."""
        return DiTConfig(**self.model_dump(exclude={"size"}), learn_sigma=learn_sigma)

    @model_validator(mode="after")
    def _is_a_network(self) -> "ModelSpec":
        self.config()
        return self


class DataSpec(Record):
    """The training images; `heldout` of them are left out of training, for `heldout_loss`.

    `path` says where they lie, not what they are, so it is not part of the run's id.
    """

    name: str
    path: str | None = None
    heldout: int = later(0, ge=0, lt=2**31)


class OptimizerSpec(Record):
    """An optax optimizer and its learning-rate schedule; the defaults are the paper's (section 4 and its code)."""

    name: Literal["adamw", "adam", "sgd", "lion"] = "adamw"
    learning_rate: PositiveFloat = 1e-4
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    warmup_steps: Annotated[int, Field(ge=0, lt=10**9)] = 0
    beta1: UnitInterval = 0.9
    beta2: UnitInterval = 0.999
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip_norm: PositiveFloat | None = None


class EmaSpec(Record):
    """The average of the weights, which samples are drawn from. `warmup` lets the decay grow, for short runs."""

    decay: UnitInterval = 0.9999
    warmup: bool = False


LOG_EVERY = 100
"""Updates between logged rows where a spec says nothing and they fit."""


def nearest_divisor(number: int, wanted: int) -> int:
    """The divisor of `number` whose ratio to `wanted` is nearest to 1; of two, the smaller."""
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return min(sorted({*small, *(number // d for d in small)}), key=lambda d: abs(math.log(d / wanted)))


class TrainSpec(Record):
    """How the weights are found.

    `log_every` left out is 100 where that divides the steps and `evaluate.every`, else the divisor nearest to it.
    `parametrization: mup` scales initial weights and rates with width from a network of `base_width`, so that a rate
    found at one width holds at others (dit_grid.model.width_transfer).
    """

    steps: Steps = 400_000
    batch: Count = 256
    accumulate: Count = 1
    optimizer: OptimizerSpec = OptimizerSpec()
    ema: EmaSpec = EmaSpec()
    class_dropout: UnitInterval = 0.1
    dtype: Literal["float32", "bfloat16"] = "float32"
    log_every: Steps = LOG_EVERY
    parametrization: Literal["standard", "mup"] = later("standard")
    base_width: Side = later(BASE_WIDTH)

    @model_validator(mode="after")
    def _divides(self) -> "TrainSpec":
        if self.batch % self.accumulate:
            raise ValueError(f"batch {self.batch} is not a multiple of accumulate {self.accumulate}")
        if "log_every" in self.model_fields_set and self.steps % self.log_every:
            raise ValueError(f"steps {self.steps} is not a multiple of log_every {self.log_every}")
        return self

    @model_validator(mode="after")
    def _transfers(self) -> "TrainSpec":
        if self.parametrization == "mup" and self.optimizer.name == "sgd":
            raise ValueError("parametrization mup with optimizer sgd: its rules are Adam's; use adamw, adam or lion")
        if self.parametrization == "standard" and self.base_width != BASE_WIDTH:
            raise ValueError(f"base_width {self.base_width} with parametrization standard: it is of mup; leave it out")
        return self


class EvalSetting(Record):
    """One way to measure a checkpoint; every field can change the value and is stored beside it.

    `decoder`, `features` and `reference` are names; `EvaluateSpec.files` says where each lies. `labels` is what samples
    are asked to show: the data's own mix of classes, or every class alike at random, as published FIDs have it. With
    `guidance_interval` guidance acts at timesteps from the one to the other alone, of the full schedule or of a path's
    0 to 1. With `when: end` only the last step is measured.

    `steps` of a path's samplers (ode-, sde-) is how many times their grid has, ends included, as SiT counts. What a
    stochastic one adds is `sde_form` times `sde_norm`, and its last step, without noise, begins `last_step_size` before
    the image.
    """

    metrics: Annotated[tuple[str, ...], Field(min_length=1)]
    samples: Count = 50_000
    sampler: Annotated[str, one_of("samplers", *DISCRETE_SAMPLERS, *FLOW_SAMPLERS)] = "ddpm"
    steps: Count = 250
    eta: Annotated[float, Field(ge=0, le=1)] = 0.0
    clip: bool = False
    guidance: Annotated[float, Field(ge=0)] = 1.0
    guidance_channels: Side | None = None
    weights: Literal["ema", "raw"] = "ema"
    decoder: str | None = None
    seed: Seed = 0
    features: str | None = later(None)
    reference: str | None = later(None)
    labels: Literal["data", "uniform"] = later("data")
    guidance_interval: tuple[float, float] | None = later(None)
    when: Literal["every", "end"] = later("every")
    sde_form: Literal["constant", "sbdm", "sigma", "linear", "decreasing", "increasing-decreasing"] = later("sigma")
    sde_norm: PositiveFloat = later(1.0)
    last_step: Literal["none", "mean", "euler", "tweedie"] = later("mean")
    last_step_size: float = later(0.04, gt=0, lt=1)

    @model_validator(mode="after")
    def _fits_its_sampler(self) -> "EvalSetting":
        if self.sampler in FLOW_SAMPLERS and (self.eta or self.clip or self.steps < 2):
            given = "eta" if self.eta else "clip" if self.clip else f"steps {self.steps}"
            raise ValueError(
                f"{given} with sampler {self.sampler}: eta and clip are of the discrete samplers, and a grid of times "
                "has its 2 ends; leave it out" + (", or take more steps" if given.startswith("steps") else "")
            )
        of_sde = [name for name in SDE_FIELDS if getattr(self, name) != type(self).model_fields[name].default]
        if of_sde and not self.sampler.startswith("sde"):
            raise ValueError(f"{', '.join(of_sde)} with sampler {self.sampler}: of sde-euler and sde-heun alone")
        if self.sampler in FLOW_SAMPLERS and self.guidance_interval and self.guidance_interval[1] > 1:
            raise ValueError(
                f"guidance_interval up to {self.guidance_interval[1]:g} with sampler {self.sampler}: the times of a "
                "path are 0 (noise) to 1 (image)"
            )
        return self

    @field_validator("guidance_interval")
    @classmethod
    def _is_ordered(cls, interval: tuple[float, float] | None) -> tuple[float, float] | None:
        if interval is not None and not 0 <= interval[0] <= interval[1]:
            raise ValueError(f"{interval[0]:g} to {interval[1]:g}: give the lowest timestep, from 0, and the highest")
        return interval

    @property
    def sampler_name(self) -> str:
        """The sampler with what else shapes its path, e.g. `ddim`, `ddim(eta=1)` or `ddpm(guided at 100-700)`."""
        changes = [f"eta={self.eta:g}"] if self.eta else []
        changes += ["clip"] if self.clip else []
        if self.guidance_interval and self.guidance != 1:
            changes.append("guided at {:g}-{:g}".format(*self.guidance_interval))
        changes += [f"{name}={getattr(self, name)}" for name in SDE_FIELDS
                    if getattr(self, name) != type(self).model_fields[name].default]  # fmt: skip
        return f"{self.sampler}({', '.join(changes)})" if changes else self.sampler

    @property
    def draws(self) -> bool:
        """Whether any of the metrics is of samples."""
        return set(self.metrics) != {HELDOUT_LOSS}

    @property
    def options(self) -> dict[str, Any]:
        """What the sampler's loop is called with (dit_grid.model.samplers, .flow_samplers)."""
        guidance = ("guidance", "guidance_channels", "guidance_interval")
        chosen = {name: getattr(self, name) for name in ("sampler", *guidance)}
        if self.sampler not in FLOW_SAMPLERS:
            return chosen | {"eta": self.eta, "clip": self.clip}
        if self.sampler.startswith("ode"):
            return chosen
        return chosen | {name.removeprefix("sde_"): getattr(self, name) for name in SDE_FIELDS}

    @property
    def evaluations(self) -> int:
        """Network evaluations of the sampler per image, guidance not counted: what sampling costs.

        A grid of N times is N - 1 updates, of which Heun's take two each; a stochastic sampler's last step is one more.
        """
        if self.sampler not in FLOW_SAMPLERS:
            return self.steps
        each = 2 if self.sampler.endswith("heun") else 1
        return each * (self.steps - 1) + (self.sampler.startswith("sde") and self.last_step != "none")


SDE_FIELDS = ("sde_form", "sde_norm", "last_step", "last_step_size")


class EvaluateSpec(Record):
    """When to measure (every so many steps, and always at the end) and how.

    `files` is where the named decoders, feature networks and references lie, on a disk or at gs://; rows keep the
    hashes of what was found there, and the places are not part of the run's id.
    """

    every: Steps
    settings: tuple[EvalSetting, ...] = ()
    files: dict[str, str] = Field(default_factory=dict)


class ResourceSpec(Record):
    """What a run executes on: a TPU slice, GPUs or CPU cores. Not part of the run's id."""

    slice: str | None = None
    gpus: Count | None = None
    cpus: Count | None = None

    @field_validator("slice")
    @classmethod
    def _is_sold(cls, name: str | None) -> str | None:
        if name is not None and (mistake := slice_mistake(name)):
            raise ValueError(mistake)
        return name

    @model_validator(mode="after")
    def _names_one_kind(self) -> "ResourceSpec":
        named = [kind for kind in ("slice", "gpus", "cpus") if getattr(self, kind) is not None]
        if len(named) != 1:
            raise ValueError(f"names {' and '.join(named) or 'nothing'}; name exactly one of slice, gpus, cpus")
        return self

    @property
    def kind(self) -> str:
        """What the scheduler's ledger counts: a slice type such as `v3-256`, `gpu` or `cpu`."""
        return self.slice or ("gpu" if self.gpus else "cpu")

    @property
    def count(self) -> int:
        """How many of `kind` a run holds: 1 for a slice."""
        return 1 if self.slice else (self.gpus or self.cpus or 0)


class MeshSpec(Record):
    """How devices are arranged: `fsdp` of them, side by side, share one copy of the state, and `data` copies there are,
    by default as many as the devices allow."""

    fsdp: Count
    data: Count | None = None


class ExecutionSpec(Record):
    """How a run executes. Nothing here may change a number, so nothing here is part of the run's id.

    With `evaluate_on` each checkpoint that is to be measured is measured by a job of its own on those resources, while
    the training goes on; without it the training measures itself. `sharding` says what of the training state each
    device holds: all (`replicated`), a part, and each host a whole copy (`host`), or a part and all hosts one copy
    (`fsdp`). By default slices take `host` and everything else `replicated`; `mesh` says it in numbers.
    """

    resources: ResourceSpec = ResourceSpec(cpus=1)
    evaluate_on: ResourceSpec | None = later(None)
    checkpoint_every: Steps = 50_000
    keep_checkpoints: Count = 2
    steps_per_call: Steps = 1
    flush_s: Annotated[float, Field(gt=0, le=1e9)] = 30.0
    remat: Literal["none", "dots", "block"] = "none"
    attention: Literal["auto", "xla", "cudnn", "cpu"] = "auto"
    sharding: Literal["auto", "replicated", "host", "fsdp"] = "auto"
    mesh: MeshSpec | None = later(None)
    max_retries: Annotated[int, Field(ge=0, lt=2**31)] = 3
    priority: Annotated[int, Field(gt=-(2**31), lt=2**31)] = 0

    @model_validator(mode="after")
    def _has_one_layout(self) -> "ExecutionSpec":
        if self.mesh is not None and self.sharding not in ("auto", "host"):
            raise ValueError(f"sharding {self.sharding} and a mesh; leave one of them out")
        return self

    @property
    def layout(self) -> Literal["replicated", "host", "fsdp"]:
        """What `sharding` means where it is `auto`."""
        if self.sharding != "auto":
            return self.sharding
        return "host" if self.resources.slice or self.mesh else "replicated"


class RunSpec(Record):
    """One training run, frozen and complete. `execution`, `data.path` and `evaluate.files` say where and how; the rest
    makes the id."""

    model: ModelSpec
    data: DataSpec
    diffusion: DiffusionSpec = DiffusionSpec()
    train: TrainSpec = TrainSpec()
    evaluate: EvaluateSpec
    execution: ExecutionSpec = ExecutionSpec()
    seed: Seed = 0

    @model_validator(mode="after")
    def _logs_in_step(self) -> "RunSpec":
        """Where nobody wrote how often to log, and the usual does not fit, take what does: it makes part of the id."""
        train, every = self.train, math.gcd(self.train.steps, self.evaluate.every)
        if "log_every" not in train.model_fields_set and every % train.log_every:
            fitting = train.model_copy(update={"log_every": nearest_divisor(every, LOG_EVERY)})
            object.__setattr__(self, "train", fitting)
        execution, log = self.execution, self.train.log_every
        if "checkpoint_every" not in execution.model_fields_set and execution.checkpoint_every % log:
            whole = execution.model_copy(update={"checkpoint_every": max(execution.checkpoint_every // log, 1) * log})
            object.__setattr__(self, "execution", whole)
        return self

    @model_validator(mode="after")
    def _rhythms_fit(self) -> "RunSpec":
        log, chunk = self.train.log_every, self.execution.steps_per_call
        for name, every in (
            ("evaluate.every", self.evaluate.every),
            ("execution.checkpoint_every", self.execution.checkpoint_every),
        ):
            if self.train.steps // every > MOST_EVALUATIONS:
                raise ValueError(
                    f"{name} {every} comes more than {MOST_EVALUATIONS:,} times in {self.train.steps:,} steps"
                )
            if every % log:
                raise ValueError(f"{name} {every} is not a multiple of train.log_every {log}")
        if log % chunk:
            raise ValueError(f"train.log_every {log} is not a multiple of execution.steps_per_call {chunk}")
        for number, setting in enumerate(self.evaluate.settings):
            if setting.draws and (mistake := sampling_mistake(self.diffusion, setting)):
                raise ValueError("evaluate.settings[{}].{} {} {}".format(number, *mistake))
        return self

    @model_validator(mode="after")
    def _can_be_counted(self) -> "RunSpec":
        network = self.network
        for name, count in (("parameters", trainable_params(network)), ("multiply-accumulates", forward_macs(network))):
            if count > LARGEST:
                raise ValueError(f"model: {count:.1e} {name}; the store counts up to {LARGEST:.1e}")
        return self

    @property
    def network(self) -> DiTConfig:
        """The network's configuration; it has a second set of output channels where the variance is learned."""
        return self.model.config(learn_sigma=self.diffusion.variance == "learned-range")

    def identity(self) -> dict[str, Any]:
        """Every field that can change a number, as plain JSON values."""
        places: Any = {"execution": True, "data": {"path"}, "evaluate": {"files"}}
        return self.model_dump(mode="json", exclude=places)

    @cached_property
    def id(self) -> str:
        """Readable name and the first 8 hex digits of the SHA-256 of `identity()`, e.g. `xl-2-3f9c2a41`."""
        canonical = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        return f"{self.model.size.lower()}-{self.model.patch}-{digest[:8]}"
