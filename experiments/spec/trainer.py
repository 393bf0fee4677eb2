"""A run of somebody's own trainer: which program or function, with which settings; frozen, complete, and with an id.

It stands beside `RunSpec` and answers the same questions of whoever schedules it; what differs between the two is asked
of `any_run`. How it is executed is `dit_grid.experiments.trainers`.
"""

import hashlib
import json
import re
from functools import cached_property
from pathlib import PurePath
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from dit_grid.experiments.spec.execution import ExecutionSpec
from dit_grid.experiments.spec.measurement import EvaluateSpec
from dit_grid.experiments.spec.record import Record
from dit_grid.experiments.spec.validate import nearest

FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
"""`package.module:function`."""

PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([A-Za-z_][\w.]*)\}")
"""`{name}` stands for a value, `{{` and `}}` for braces."""

_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


class TrainerSpec(Record):
    """What trains: a Python function, called with the run, or a command. Exactly one of them."""

    function: Annotated[str, Field(min_length=1)] | None = None
    """`module:function` beside the spec or installed, called with the run."""
    command: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """A program and its arguments; {config.NAME}, {steps} and others are filled in."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"function": value} if isinstance(value, str) else value

    @field_validator("command", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        plain = isinstance(value, list | tuple)
        return [str(item) if isinstance(item, int | float) else item for item in value] if plain else value

    @field_validator("function")
    @classmethod
    def _is_a_function(cls, name: str | None) -> str | None:
        if name is not None and not FUNCTION.fullmatch(name):
            raise ValueError(f"got {name!r}; must be module:function, or a mapping with command: [PROGRAM, ARGUMENT…]")
        return name

    @model_validator(mode="after")
    def _is_one(self) -> "TrainerSpec":
        if (self.function is None) == (self.command is None):
            raise ValueError("name exactly one of function and command")
        return self

    @property
    def name(self) -> str:
        """The module of the function, or the script or program of the command."""
        if self.function is not None:
            return self.function.partition(":")[0].rpartition(".")[2]
        command = self.command or ("",)
        script = next((part for part in command if part.endswith((".py", ".sh"))), command[0])
        return PurePath(script).stem or "trainer"


class OwnTrainSpec(Record):
    """How long, and how often to tell; the trainer is told these and keeps to them. `batch` is only for reckoning."""

    steps: PositiveInt
    """[updates] Told to the trainer, who keeps to them."""
    log_every: PositiveInt = 1
    """[updates] Between rows; told to the trainer."""
    batch: PositiveInt | None = None
    """[examples] Only to reckon training compute; set it in `config` for the trainer."""


class CostNumbers(Record):
    """What a model of one's own costs, in numbers; what is not known is None.

    `train_gmacs` is the whole run's training, `forward_gmacs` one forward pass of one example; GMACs are
    multiply-accumulates / 1e9.
    """

    params: PositiveInt | None = None
    """[parameters] A number, an expression of config, or module:function."""
    forward_gmacs: PositiveFloat | None = None
    """[GMACs] Of one forward pass of one example; a number, expression or function."""
    tokens: PositiveInt | None = None
    """[tokens] Of one example; a number, expression or function."""
    train_gmacs: PositiveFloat | None = None
    """[GMACs] Of the run's training; 3 x forward x batch x steps if left out."""


class OwnMetric(Record):
    """How a metric of one's own reads: which direction is better, and whether its values span decades."""

    better: Literal["lower", "higher"] = "lower"
    """Which direction is."""
    scale: Literal["linear", "log"] = "linear"
    """Whether its values span decades, so that axes and laws take their logarithm."""


class Label(NamedTuple):
    """What a run of one's own trainer has in place of a model."""

    name: str
    size: str
    block: str = ""


OWN_IDENTITY = {"trainer", "config", "train", "seed"}
"""What of a run of one's own trainer makes its id."""


class TrainerRun(Record):
    """One run of one's own trainer. `execution`, `folder`, `label`, `cost` and `metrics` change no number of it, the
    rest makes the id. `folder` is where the function or command is found and runs."""

    trainer: TrainerSpec
    """Your function or program; with it a run is yours, and `model`, `data`, `diffusion` have no meaning."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Whatever your trainer reads; nested as you like, and swept by the grid."""
    train: OwnTrainSpec
    """How long; the trainer is told."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """[number] Told to the trainer."""
    cost: CostNumbers = CostNumbers()
    """What laws and plans are reckoned from."""
    metrics: dict[str, OwnMetric] = Field(default_factory=dict)
    """Name -> how your metric reads; unnamed ones are lower-is-better."""
    execution: ExecutionSpec = ExecutionSpec()
    """Where it runs; as above."""
    label: str = ""
    """Name of the run in tables, `{config.NAME}` filled in; else what the grid varies."""
    folder: str = ""
    """Where function or program is found and runs; the spec's own folder if left out."""

    @field_validator("config")
    @classmethod
    def _is_plain(cls, config: dict[str, Any]) -> dict[str, Any]:
        return {key: plain(value, key) for key, value in config.items()}

    @model_validator(mode="after")
    def _fits(self) -> "TrainerRun":
        if self.execution.evaluate_on is not None:
            raise ValueError("execution.evaluate_on: a trainer of your own measures itself; remove it")
        for text in (*(self.trainer.command or ()), self.label):
            self.filled(text)
        return self

    @property
    def model(self) -> Label:
        """The run's label where others have the name of a model."""
        name = self.label or self.trainer.name
        return Label(name, name)

    @property
    def evaluate(self) -> EvaluateSpec:
        """Nothing that others are to measure: the trainer measures itself, whenever it likes."""
        return EvaluateSpec(every=self.train.steps)

    def names(self) -> dict[str, Any]:
        """Dotted name -> value of everything that a command or an expression may name."""
        resources = self.execution.resources
        own: dict[str, Any] = {
            "seed": self.seed, "steps": self.train.steps, "log_every": self.train.log_every,
            "checkpoint_every": self.execution.checkpoint_every, "python": "", "rank": 0, "world": 1,
            "address": "127.0.0.1", "port": 29500,
        }  # fmt: skip
        own |= {kind: value for kind in ("gpus", "cpus", "slice") if (value := getattr(resources, kind)) is not None}
        return own | flat(self.config, "config")

    def filled(self, text: str, **known: Any) -> str:
        """Return `text` with its placeholders filled. Raises ValueError for one that stands for nothing here."""
        names = {**self.names(), **known}

        def value(found: "re.Match[str]") -> str:
            if found[1] is None:
                return found[0][0]
            if found[1] not in names:
                known_here = ", ".join(sorted(names))
                raise ValueError(f"{text!r}: unknown {{{found[1]}}}{nearest(found[1], names)}; known: {known_here}")
            return on_a_line(names[found[1]])

        return PLACEHOLDER.sub(value, text)

    def identity(self) -> dict[str, Any]:
        """Every field that can change a number, as plain JSON values."""
        return self.model_dump(mode="json", include=OWN_IDENTITY, exclude_none=True) | {
            "config": self.config  # in which None is a value
        }

    @cached_property
    def id(self) -> str:
        """The trainer's name and the first 8 hex digits of the SHA-256 of `identity()`, e.g. `mlp-3f9c2a41`."""
        canonical = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"))
        name = re.sub(r"[^a-z0-9_-]+", "-", self.trainer.name.lower()).strip("-_") or "trainer"
        return f"{name}-{hashlib.sha256(canonical.encode()).hexdigest()[:8]}"


def plain(value: Any, path: str) -> Any:
    """Return a config value as JSON has it; YAML takes 1e-3 for text, which is read as the number.

    Raises ValueError for what JSON does not have: a date, a set, an infinite number.
    """
    if isinstance(value, dict):
        return {str(key): plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{path}[{place}]") for place, item in enumerate(value)]
    if isinstance(value, str):
        return float(value) if _EXPONENT.fullmatch(value) else value
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and value - value == 0:
        return value
    raise ValueError(f"config.{path}: got {value!r}; must be a number, text, true, false, null, a list or a mapping")


def flat(value: Any, prefix: str) -> dict[str, Any]:
    """Dotted name -> value of everything inside nested mappings."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {name: item for key, inside in value.items() for name, item in flat(inside, f"{prefix}.{key}").items()}


def on_a_line(value: Any) -> str:
    """Return a value as it stands on a command line: true and false in lower case, lists and mappings as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
