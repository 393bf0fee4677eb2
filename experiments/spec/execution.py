"""What a run executes on and how: resources, checkpoints, layout over devices. No part of any run's id.

What a run is, and its id, is `run`; how runs are scheduled together is `cluster`.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from dit_grid.experiments.spec.record import Count, Record, Steps, later
from dit_grid.experiments.spec.slices import slice_mistake

SAMPLE_BATCH = 128
"""[images] That evaluations draw at a time on each device where a spec says nothing."""


class ResourceSpec(Record):
    """What a run executes on: a TPU slice, GPUs or CPU cores. Not part of the run's id."""

    slice: str | None = None
    """A whole TPU slice, such as v3-32."""
    gpus: Count | None = None
    """[GPUs] Of one host or several."""
    cpus: Count | None = None
    """[cores] Of this machine or a cluster's."""

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
    by default as many as the devices allow. With `tensor` so many devices compute each image together."""

    fsdp: Count
    """[devices] Side by side that share one copy of the training state."""
    data: Count | None = None
    """[copies] Of the state; as many as the devices allow if left out."""
    tensor: Count | None = later(None)
    """[devices] Side by side that each compute a share of heads and hidden units; it divides both."""


class ExecutionSpec(Record):
    """How a run executes. Nothing here may change a number, so nothing here is part of the run's id.

    With `evaluate_on` each checkpoint that is to be measured is measured by a job of its own on those resources, while
    the training goes on; without it the training measures itself. `sharding` says what of the training state each
    device holds: all (`replicated`), a part, and each host a whole copy (`host`), or a part and all hosts one copy
    (`fsdp`). By default slices take `host` and everything else `replicated`; `mesh` says it in numbers.
    """

    resources: ResourceSpec = ResourceSpec(cpus=1)
    """What one run holds; exactly one kind."""
    evaluate_on: ResourceSpec | None = later(None)
    """Measure each checkpoint as a job of its own on these, while training goes on."""
    checkpoint_every: Steps = 50_000
    """[updates] At most so much is lost when a run is killed."""
    keep_checkpoints: Count = 2
    """[checkpoints] Of each run that stay, the newest."""
    steps_per_call: Steps = 1
    """[updates] In one compiled call; more saves the way to the device and back."""
    flush_s: Annotated[float, Field(gt=0, le=1e9)] = 30.0
    """[seconds] Between writes of rows to the store; what a kill may cost of the log."""
    remat: Literal["none", "dots", "block"] = "none"
    """What is computed again in the backward pass, to save memory."""
    attention: Literal["auto", "xla", "cudnn", "cpu"] = "auto"
    """Which kernel, with `cpu` also the gradients of norms and GELU for CPU cores; `auto` takes what the device has."""
    sharding: Literal["auto", "replicated", "host", "fsdp"] = "auto"
    """How the training state lies on devices; `auto` is `host` on slices, else `replicated`."""
    mesh: MeshSpec | None = later(None)
    """The same in numbers of devices."""
    sample_batch: Count | None = later(None)
    """[images] Drawn at a time on each device by evaluations; 128 if left out. Fewer take less memory."""
    max_retries: Annotated[int, Field(ge=0, lt=2**31)] = 3
    """[retries] That a run's own failures may cost; preemptions are free."""
    priority: Annotated[int, Field(gt=-(2**31), lt=2**31)] = 0
    """[number] Runs of a higher one start first."""

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
