"""What a whole spec holds once it is expanded: its head, and its runs in the order of the file.

How the runs are made from the file is `expand`; one run is `run`.
"""

from typing import Annotated, Literal

from pydantic import Field

from dit_grid.experiments.spec.any_run import AnyRun
from dit_grid.experiments.spec.cluster import ClusterSpec
from dit_grid.experiments.spec.price import PriceSpec
from dit_grid.experiments.spec.record import Record, Side
from dit_grid.experiments.spec.run import NAME, RunSpec
from dit_grid.experiments.spec.track import TrackSpec

HEAD_SECTIONS = ("name", "store", "plan", "cluster", "until", "track")


class SizeSpec(Record):
    """What a size name stands for."""

    width: Side
    """[channels] Of a token."""
    depth: Side
    """[blocks] Of the network."""
    heads: Side
    """[heads] Of attention; they divide the width."""


class UntilSpec(Record):
    """When a grid knows enough: `target` such as `exponent ±0.05`, of `metric` or the main one of what was measured.

    Once it is met no run starts any more; those that run `finish`, or `stop` at a checkpoint.
    """

    target: Annotated[str, Field(min_length=1)]
    """`exponent ±0.05` or `forecast:XL/2 ±10%`: no run starts once it is known so well."""
    metric: str | None = None
    """Whose law it is; the main one of what was measured if left out."""
    running: Literal["finish", "stop"] = "finish"
    """What runs under way then do: go on to their end, or stop at a checkpoint."""


class ExperimentSpec(Record):
    """A whole spec, expanded: its name, its store and its runs in the order of the file."""

    name: Annotated[str, Field(pattern=NAME, max_length=100)]
    """Stands in titles and file names."""
    store: Annotated[str, Field(min_length=1)]
    """Folder or gs:// URL where everything is kept."""
    plan: PriceSpec = PriceSpec()
    """What `plan` reckons time and money with."""
    cluster: ClusterSpec = ClusterSpec()
    """How the runs are scheduled together."""
    until: UntilSpec | None = None
    """When enough is known."""
    track: tuple[TrackSpec, ...] = ()
    """Trackers that mirror every row as it is flushed: `wandb`, `mlflow`, `tensorboard`."""
    runs: tuple[AnyRun, ...] = ()
    file: str = ""
    groups: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What is said of it when it is planned or launched, a line each; see `notes`."""

    @property
    def networks(self) -> tuple[RunSpec, ...]:
        """Those of the runs that train our own network; the others have a trainer of their own."""
        return tuple(run for run in self.runs if isinstance(run, RunSpec))
