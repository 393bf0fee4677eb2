"""How and when checkpoints of a run are measured: the spec's `evaluate` section, and what each setting's sampler costs.

What the metrics are is `dit_grid.experiments.metrics`; which samplers go with which diffusion is `objective`.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, field_validator, model_validator

from dit_grid.experiments.spec.objective import DISCRETE_SAMPLERS, FLOW_SAMPLERS
from dit_grid.experiments.spec.record import Count, Record, Seed, Side, Steps, later, one_of

HELDOUT_LOSS = "heldout_loss"
"""The metric for which nothing is sampled."""


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
    """What is measured: of images, of one dataset, or `heldout_loss`, which draws nothing."""
    samples: Count = 50_000
    """[images] Drawn, or for `heldout_loss` read; FID falls with their number, so compare like with like."""
    sampler: Annotated[str, one_of("samplers", *DISCRETE_SAMPLERS, *FLOW_SAMPLERS)] = "ddpm"
    """ddpm, ddim, dpmpp-2m of the discrete process; ode- and sde- of a `diffusion.path`; or a registered one."""
    steps: Count = 250
    """[steps] Of the sampler; ode- and sde- count the times of their grid, ends included."""
    eta: Annotated[float, Field(ge=0, le=1)] = 0.0
    """[share] Noise that `ddim` adds: 0 none, 1 that of ddpm."""
    clip: bool = False
    """Hold each predicted image within the data's range."""
    guidance: Annotated[float, Field(ge=0)] = 1.0
    """[scale] Of classifier-free guidance; 1 is none and costs half."""
    guidance_channels: Side | None = None
    """[channels] The first so many are guided; the paper's code guides 3 of 4."""
    weights: Literal["ema", "raw"] = "ema"
    """The average of the weights, or the weights themselves."""
    decoder: str | None = None
    """Name in `evaluate.files` of the VAE that makes images of latents."""
    seed: Seed = 0
    """[number] Of the samples' noise and labels."""
    features: str | None = later(None)
    """Network whose features are compared: a name in `evaluate.files`, or module:function."""
    reference: str | None = later(None)
    """Name in `evaluate.files` of the statistics or images compared with; else the training data."""
    labels: Literal["data", "uniform"] = later("data")
    """What samples show: the data's mix of classes, or each alike, as published FIDs."""
    guidance_interval: tuple[float, float] | None = later(None)
    """[timesteps] Lowest and highest at which guidance acts; of a path 0 (noise) to 1."""
    when: Literal["every", "end"] = later("every")
    """Every time, or only the last step."""
    sde_form: Literal["constant", "sbdm", "sigma", "linear", "decreasing", "increasing-decreasing"] = later("sigma")
    """How the noise of sde- samplers goes with time."""
    sde_norm: PositiveFloat = later(1.0)
    """[scale] Of that noise."""
    last_step: Literal["none", "mean", "euler", "tweedie"] = later("mean")
    """How an sde- sampler makes its last step, which adds no noise."""
    last_step_size: float = later(0.04, gt=0, lt=1)
    """[time] Of that last step, of a path's 0 to 1."""

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
    """[updates] Between measurements; the last step is always measured."""
    settings: tuple[EvalSetting, ...] = ()
    """Ways to measure, each a row of its own; none measures nothing."""
    files: dict[str, str] = Field(default_factory=dict)
    """Name -> place of the decoders, feature networks and references; their hashes are kept with rows."""
