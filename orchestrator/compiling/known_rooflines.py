"""Rooflines of training steps that the TPU compiler was asked about before: what a plan has without the compiler.

`rooflines.yaml` is written by `docs/write_rooflines.py`. Memory, and programs that are not there, take the compiler.
"""

from functools import cache
from importlib import resources
from typing import Annotated, Any, NamedTuple

import yaml
from pydantic import Field

from dit_grid.experiments.spec.record import Record
from dit_grid.experiments.spec.run import ModelSpec, RunSpec
from dit_grid.model.config import DiTConfig
from dit_grid.orchestrator.compiling.layouts import layout_of
from dit_grid.orchestrator.compiling.roofline import Roofline

FILE = "rooflines.yaml"

Seconds = Annotated[float, Field(gt=0)]


class Program(NamedTuple):
    """What tells one training step from another: what its time depends on."""

    network: DiTConfig
    batch: int
    optimizer: str
    dtype: str
    slice: str
    layout: str


class Row(Record):
    """One training step, and seconds of an update of it: at peak, and by the compiler's own cycles."""

    model: ModelSpec
    batch: int
    optimizer: str
    dtype: str
    slice: str
    layout: str
    roofline_s: Seconds
    bound: str
    estimated_s: Seconds | None

    @property
    def program(self) -> Program:
        """The row without its figures."""
        return Program(self.model.config(), self.batch, self.optimizer, self.dtype, self.slice, self.layout)


class Known(Record):
    """The shipped file: rows, and the versions that gave them."""

    jax: str
    libtpu: str
    rows: tuple[Row, ...]


def program_of(run: RunSpec) -> Program | None:
    """Return what a run's time on its slice depends on; None where it names no slice."""
    slice_name, train = run.execution.resources.slice, run.train
    if slice_name is None:
        return None
    return Program(run.model.config(), train.batch, train.optimizer.name, train.dtype, slice_name, layout_of(run))


def known_roofline(run: Any) -> tuple[Roofline, str] | None:
    """Return how long an update of the run takes, and the compiler that said so; None where it was never asked.

    None as well of a trainer of one's own, and of a run on GPUs or cores.
    """
    program = program_of(run) if isinstance(run, RunSpec) else None
    if program is None:
        return None
    known = shipped()
    found = next((row for row in known.rows if row.program == program), None)
    return (Roofline(found.roofline_s, found.estimated_s), f"libtpu {known.libtpu}") if found else None


@cache
def shipped() -> Known:
    """Return the file that comes with the package."""
    text = (resources.files("dit_grid.orchestrator") / "compiling" / FILE).read_text()
    return Known.model_validate(yaml.safe_load(text))
