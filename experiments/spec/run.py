"""What one run is: frozen records that hold everything that can change a number, and the run's id made from them.

Reading YAML into these records is `source` and `expand`; nothing below this module reads a file, the
environment or a flag.
"""

import hashlib
import json
import math
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, model_validator

from dit_grid.experiments.spec.execution import ExecutionSpec
from dit_grid.experiments.spec.measurement import EvaluateSpec
from dit_grid.experiments.spec.objective import DiffusionSpec, sampling_mistake
from dit_grid.experiments.spec.record import Count, Record, Seed, Side, Steps, UnitInterval, later, one_of
from dit_grid.experiments.spec.source import LARGEST
from dit_grid.model.accounting import forward_macs, trainable_params
from dit_grid.model.config import BLOCKS, DiTConfig

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""Names that become a part of file names: no `..`, no hidden file, no option of a command."""

MOST_EVALUATIONS = 100_000
"""Times that one run is measured or checkpointed, at most."""

BASE_WIDTH = 288
"""Four heads of 72, those of DiT-XL: the proxy of Zheng et al. (2025), arXiv 2505.15270."""


class ModelSpec(Record):
    """The network: a named size and patch, or explicit width, depth and heads.

    With `context_width` it is conditioned on captions, sequences of up to `context_length` embeddings of that width, in
    place of class labels; the dataset says what they are.
    """

    size: Annotated[str, Field(pattern=NAME, max_length=100)]
    """A name of `sizes`, or one of the paper's: S, B, L, XL. It gives width, depth and heads."""
    patch: Side
    """[pixels] Side of the square that becomes one token; halving it makes four times the tokens."""
    image_size: Side
    """[pixels] Side of what is trained on; of latents theirs, an eighth of the image's."""
    channels: Side = 4
    """[channels] 4 of latents, 3 of colour images, 1 of grey ones."""
    classes: Count = 1000
    """[classes] Labels of the data; not used where captions are the condition."""
    block: Annotated[str, one_of("blocks", *BLOCKS)] = "adaln-zero"
    """How the condition enters: the paper's four designs (Figure 2), or a registered one."""
    width: Side
    """[channels] Of a token; only without a named size."""
    depth: Side
    """[blocks] Only without a named size."""
    heads: Side
    """[heads] Of attention; they divide the width. Only without a named size."""
    mlp_ratio: Side = 4
    """[widths] Width of each block's hidden layer."""
    context_width: Side | None = later(None)
    """[channels] Of a caption's embeddings, where captions are the condition; without it classes are."""
    context_length: Side = later(1)
    """[tokens] Longest caption; shorter ones are padded."""

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
    """`digits`, `captioned-digits`, or a name of your own for what lies at `path`."""
    path: str | None = None
    """Folder of images or latents, on a disk or at gs://; it may move without a new id."""
    heldout: int = later(0, ge=0, lt=2**31)
    """[images] Left out of training, the same for every seed, for the metric `heldout_loss`."""


class OptimizerSpec(Record):
    """An optax optimizer and its learning-rate schedule; the defaults are the paper's (section 4 and its code)."""

    name: Literal["adamw", "adam", "sgd", "lion"] = "adamw"
    """Optax's; the paper trains with AdamW."""
    learning_rate: PositiveFloat = 1e-4
    """[per update] The peak of the schedule; the paper's is constant."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """What the rate does after its warm-up; `cosine` and `linear` fall to 0 at the last step."""
    warmup_steps: Annotated[int, Field(ge=0, lt=10**9)] = 0
    """[updates] In which the rate rises from 0."""
    beta1: UnitInterval = 0.9
    """[share] Kept of the mean gradient, an update."""
    beta2: UnitInterval = 0.999
    """[share] Kept of the mean squared gradient, an update; of `lion` of its slow mean."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """[per update] Decoupled, times the rate; the paper has none."""
    clip_norm: PositiveFloat | None = None
    """[norm] Gradients longer than this are shortened to it; nothing is clipped without."""


class EmaSpec(Record):
    """The average of the weights, which samples are drawn from. `warmup` lets the decay grow, for short runs."""

    decay: UnitInterval = 0.9999
    """[share] Kept of the average an update; it remembers 1 / (1 - decay) of them."""
    warmup: bool = False
    """Let the decay grow from 0.18, so that short runs forget their initial weights."""


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
    """[updates] How long each run trains."""
    batch: Count = 256
    """[images] Of one update, over all devices."""
    accumulate: Count = 1
    """[parts] That a batch is computed in, for want of memory; it divides the batch."""
    optimizer: OptimizerSpec = OptimizerSpec()
    """Which rule, rate and schedule."""
    ema: EmaSpec = EmaSpec()
    """The average of the weights, which samples are drawn from."""
    class_dropout: UnitInterval = 0.1
    """[share] Of conditions dropped in training, without which there is no guidance."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the arithmetic; weights and their average stay float32."""
    log_every: Steps = LOG_EVERY
    """[updates] Between logged rows; left out, it is what fits the steps, near 100."""
    parametrization: Literal["standard", "mup"] = later("standard")
    """`mup` makes a learning rate hold at every width."""
    base_width: Side = later(BASE_WIDTH)
    """[channels] With `mup`: the width at which it changes nothing."""

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


PLACES: Any = {"execution": True, "data": {"path"}, "evaluate": {"files"}}
"""What of a run is where and how, and no part of its id."""


class RunSpec(Record):
    """One training run, frozen and complete. `execution`, `data.path` and `evaluate.files` say where and how; the rest
    makes the id."""

    model: ModelSpec
    """The network: a named size and a patch."""
    data: DataSpec
    """What it is trained on."""
    diffusion: DiffusionSpec = DiffusionSpec()
    """The noising process and what is predicted; the paper's if left out."""
    train: TrainSpec = TrainSpec()
    """How long, with which rule."""
    evaluate: EvaluateSpec
    """When and how checkpoints are measured."""
    execution: ExecutionSpec = ExecutionSpec()
    """Where and how it runs; none of it changes a number."""
    seed: Seed = 0
    """[number] Of weights, data order, noise and dropout; several make intervals honest."""

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
    def _divides_over_tensor(self) -> "RunSpec":
        """Each device has whole heads; hidden units and widths, multiples of them, then divide as well."""
        together = self.execution.mesh.tensor if self.execution.mesh else None
        if together is None or together == 1:
            return self
        heads, name = self.model.heads, self.model.name
        if self.model.block not in BLOCKS:
            raise ValueError(f"execution.mesh.tensor {together} with block {self.model.block} of {name}: only the "
                             f"blocks of the paper are divided ({', '.join(BLOCKS)}); leave tensor out")  # fmt: skip
        if heads % together:
            fitting = ", ".join(str(one) for one in range(2, heads + 1) if heads % one == 0)
            take = f"take {fitting}, which divide them, or leave" if fitting else "leave"
            raise ValueError(f"execution.mesh.tensor {together} does not divide the {heads} heads of {name}; "
                             f"{take} tensor out")  # fmt: skip
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
        return self.model_dump(mode="json", exclude=PLACES)

    @cached_property
    def id(self) -> str:
        """Readable name and the first 8 hex digits of the SHA-256 of `identity()`, e.g. `xl-2-3f9c2a41`."""
        canonical = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        return f"{self.model.size.lower()}-{self.model.patch}-{digest[:8]}"
