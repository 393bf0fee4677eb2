"""What a network is trained on: the noising process, what is predicted, how the error counts; and what may sample it.

Which combinations exist is said here, once, and checked where a spec is read; the mathematics is `dit_grid.model`.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, model_validator

from dit_grid.experiments.spec.record import Record, later
from dit_grid.model.entry_points import registered

DISCRETE_SAMPLERS = ("ddpm", "ddim", "dpmpp-2m")
FLOW_SAMPLERS = ("ode-euler", "ode-heun", "sde-euler", "sde-heun")

SHORT_FORMS = {"noise": "epsilon"}
"""Other words for a prediction; one is kept, so that one objective has one id."""


class DiffusionSpec(Record):
    """The forward process, what the network predicts, and how its error is counted (dit_grid.model.diffusion, .flow).

    Without a `path` it is the paper's: `timesteps` of a `schedule`. With one it is SiT's continuous time, where a
    learned variance means only that the network has DiT's second set of outputs, unused. `loss` is the space in which
    the error is counted, by default the prediction's own; `times` are drawn uniformly, or with a normal logit of mean
    `times_mean` (negative favours noise) and spread `times_spread`.
    """

    schedule: Literal["linear", "cosine"] = "linear"
    """Of the discrete process's noise; the paper's is linear."""
    timesteps: Annotated[int, Field(ge=2, le=1_000_000)] = 1000
    """[timesteps] Of the discrete process."""
    variance: Literal["learned-range", "fixed-small", "fixed-large"] = "learned-range"
    """How the reverse process's variance is had: learned as the paper's, or fixed."""
    prediction: Literal["epsilon", "x0", "velocity", "score"] = "epsilon"
    """What the network predicts."""
    path: Literal["linear", "gvp", "vp"] | None = later(None)
    """SiT's continuous time in place of the discrete process; its shape from noise to image."""
    loss: Literal["epsilon", "x0", "velocity"] | None = later(None)
    """Space in which the error counts; the prediction's own if left out."""
    weight: Literal["none", "velocity", "likelihood"] = later("none")
    """Of the error with time, for predictions of noise or score along a path."""
    times: Literal["uniform", "logit-normal"] = later("uniform")
    """How training times are drawn."""
    times_mean: float = later(0.0)
    """[logit] With logit-normal times: their centre; negative favours noise."""
    times_spread: PositiveFloat = later(1.0)
    """[logit] With logit-normal times: their standard deviation."""

    @model_validator(mode="before")
    @classmethod
    def _one_word_for_one_thing(cls, given: Any) -> Any:
        """Put the kept word for another, and nothing for a loss that is the prediction's own anyhow."""
        if not isinstance(given, dict):
            return given
        words = {k: SHORT_FORMS.get(v, v) if k in ("prediction", "loss") and isinstance(v, str) else v
                 for k, v in given.items()}  # fmt: skip
        if words.get("path") is not None and "prediction" not in words:
            raise ValueError(
                f"path {words['path']} without prediction: say what the network predicts; velocity (SiT's), score, "
                "epsilon or x0"
            )
        predicted = words.get("prediction", "epsilon")
        if words.get("loss") == ("epsilon" if predicted == "score" else predicted):
            del words["loss"]
        return words

    @model_validator(mode="after")
    def _exists(self) -> "DiffusionSpec":
        mistake = self._mistake_of_path() if self.path else self._mistake_of_schedule()
        if mistake is None and self.weight != "none":
            mistake = self._mistake_of_weight()
        if mistake is None and self.times == "uniform" and (self.times_mean != 0 or self.times_spread != 1):
            mistake = "times_mean and times_spread are of times: logit-normal; add it, or leave them out"
        if mistake:
            raise ValueError(mistake)
        return self

    def _mistake_of_path(self) -> str | None:
        if self.schedule != "linear" or self.timesteps != 1000:
            return (
                f"schedule {self.schedule} of {self.timesteps} timesteps with path {self.path}: a path has continuous "
                "time; leave schedule and timesteps out"
            )
        return None

    def _mistake_of_schedule(self) -> str | None:
        if self.schedule == "linear" and self.timesteps <= 20:
            return f"timesteps {self.timesteps}: the linear schedule needs more than 20; use cosine for fewer"
        if self.prediction == "score":
            return (
                "prediction score without a path: the discrete process predicts epsilon, x0 or velocity; add path: "
                "linear, gvp or vp"
            )
        return None

    def _mistake_of_weight(self) -> str | None:
        if self.path is None:
            return f"weight {self.weight} without a path: the discrete process has none; add path: linear, gvp or vp"
        if self.prediction not in ("epsilon", "score"):
            return (
                f"weight {self.weight} with prediction {self.prediction}: it weighs epsilon or score predictions; "
                "leave it out, or count the error elsewhere with loss"
            )
        if self.loss is not None:
            return f"weight {self.weight} and loss {self.loss}: two weights of one error; keep one of them"
        return None

    @property
    def samplers(self) -> tuple[str, ...]:
        """The samplers that go with the process."""
        return FLOW_SAMPLERS if self.path else (*DISCRETE_SAMPLERS, *registered("samplers"))

    @property
    def words(self) -> str:
        """The objective in a few words that tell it from others, e.g. `velocity, linear path`."""
        parts = [{"epsilon": "noise"}.get(self.prediction, self.prediction)]
        parts += [f"loss in {self.loss}"] if self.loss else []
        parts += [f"weight {self.weight}"] if self.weight != "none" else []
        parts += [f"{self.path} path"] if self.path else []
        parts += [f"{self.schedule} schedule"] if self.schedule != "linear" else []
        if self.times != "uniform":
            parts.append(f"times {self.times_mean:g} ± {self.times_spread:g}")
        return ", ".join(parts)


def sampling_mistake(process: DiffusionSpec, setting: Any) -> tuple[str, object, str] | None:
    """The field of an evaluation setting that does not go with the process, its value, and why; None where all do."""
    kind = f"path {process.path}" if process.path else "the discrete process"
    if setting.sampler not in process.samplers:
        return "sampler", setting.sampler, f"does not go with {kind}; use {', '.join(process.samplers)}"
    if process.path is None and setting.steps > process.timesteps:
        return "steps", setting.steps, f"is more than diffusion.timesteps {process.timesteps}"
    return None
