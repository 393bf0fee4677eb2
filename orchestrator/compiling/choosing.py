"""The cheapest way to run a model that is not much slower: slice, layout and recomputation, each tried by the compiler.

Time is the compiler's estimate or the roofline, whichever is longer; what an hour costs is the caller's to say.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dit_grid.experiments.spec.execution import MeshSpec, ResourceSpec
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.spec.slices import SIZES
from dit_grid.orchestrator.compiling.alternatives import PARTS
from dit_grid.orchestrator.compiling.compiler import CompilerError
from dit_grid.orchestrator.compiling.generations import topology_of
from dit_grid.orchestrator.compiling.layouts import divides, narrow_meshes
from dit_grid.orchestrator.compiling.roofline import Roofline
from dit_grid.orchestrator.compiling.verdicts import Compiled, RefusedError, judge, with_evaluation


@dataclass(frozen=True)
class Way:
    """All runs of one model on one slice in one layout: verdicts, seconds of an update of each together, and USD of
    1,000 updates of each (core-hours where the spec has no price)."""

    runs: tuple[RunSpec, ...]
    found: tuple[Compiled, ...]
    seconds: float
    cost: float

    @property
    def slice(self) -> str:
        return self.found[0].slice

    @property
    def needed_bytes(self) -> int:
        """The most that a core holds of any of the runs, evaluations included where they were compiled."""
        return max(one.inline_bytes or one.hbm_needed_bytes for one in self.found)


@dataclass(frozen=True)
class Choice:
    """Of one model: the way that its spec has, where it fits, and the one that is chosen, if any fits."""

    model: str
    asked: tuple[RunSpec, ...]
    present: Way | None
    chosen: Way | None


@dataclass
class Chooser:
    """Tries ways; `hourly` says what the resources cost an hour, `tried` is called after each program."""

    versions: dict[str, str]
    hourly: Callable[[ResourceSpec], float]
    slowdown: float
    tried: Callable[[], None] = field(default=lambda: None)

    def choose(self, runs: Sequence[RunSpec]) -> Choice:
        """Return the cheapest way of the runs, which are of one model, within the slowdown of their slice's best."""
        own = max((str(run.execution.resources.slice) for run in runs), key=lambda name: topology_of(name).devices)
        present = self._way(tuple(runs))
        here = [way for way in self._ways(runs, own, own) if way]
        if not here:
            return Choice(runs[0].model.name, tuple(runs), present, None)
        limit, within = self.slowdown * min(way.seconds for way in here), list[Way]()
        for slice_name in (own, *_smaller(own)):
            ways = here if slice_name == own else [way for way in self._ways(runs, slice_name, own) if way]
            fast = [way for way in ways if way.seconds <= limit]
            if not fast:
                break
            within += fast
        ordered = sorted(within, key=lambda way: (float(f"{way.cost:.3g}"), topology_of(way.slice).devices))
        measured = (self._with_evaluation(way) for way in ordered)
        return Choice(runs[0].model.name, tuple(runs), present, next((way for way in measured if way), None))

    def _ways(self, runs: Sequence[RunSpec], slice_name: str, own: str) -> Iterator[Way | None]:
        """Yield layouts without recomputation; with it where none of them fits, and in parts where that does not on the
        spec's own slice."""
        batches = [("none", 1), ("block", 1), *(("block", parts) for parts in PARTS)]
        for remat, parts in batches:
            resources = ResourceSpec(slice=slice_name)
            found = [
                self._way(tuple(changed(run, resources, layout, remat, parts) for run in runs))
                for layout in _layouts(runs, slice_name)
            ]
            yield from found
            if any(found):
                return
            if slice_name != own and remat == "block":
                return

    def _way(self, runs: tuple[RunSpec, ...]) -> Way | None:
        found = []
        for run in runs:
            try:
                one = judge(run, self.versions)
            except RefusedError:
                return None
            finally:
                self.tried()
            if not one.fits:
                return None
            found.append(one)
        seconds = [_seconds(run, one) for run, one in zip(runs, found, strict=True)]
        hourly = [self.hourly(run.execution.resources) for run in runs]
        cost = sum(1000 * s / 3600 * usd for s, usd in zip(seconds, hourly, strict=True))
        return Way(runs, tuple(found), sum(seconds), cost)

    def _with_evaluation(self, way: Way) -> Way | None:
        """Return the way with its evaluations compiled as well, or None where they do not fit."""
        found = [
            with_evaluation(run, one, self.versions, self.tried) for run, one in zip(way.runs, way.found, strict=True)
        ]
        return Way(way.runs, tuple(found), way.seconds, way.cost) if all(f.evaluation_fits for f in found) else None


def _seconds(run: RunSpec, one: Compiled) -> float:
    """How long an update takes by the compiler. Raises CompilerError where what it made could not be read."""
    if one.roofline_s is None:
        raise CompilerError(
            f"--choose compares times, and of {run.model.name} on {one.slice} memory alone is known: {one.unread}"
        )
    return Roofline(one.roofline_s, one.estimated_s).seconds(1.0)


def _layouts(runs: Sequence[RunSpec], slice_name: str) -> Sequence[str | MeshSpec]:
    """Return the layouts that are tried on a slice; where a batch has fewer images than it has devices, meshes in which
    neighbours compute each image."""
    narrow = [run for run in runs if not divides(run, slice_name)]
    if narrow:
        return narrow_meshes(narrow[0], slice_name)
    return ("host", "replicated") if topology_of(slice_name).hosts == 1 else ("host", "fsdp", "replicated")


def changed(run: RunSpec, resources: ResourceSpec, layout: str | MeshSpec, remat: str, accumulate: int = 1) -> RunSpec:
    """Return the run on the slice in the layout, its batch in so many times as many parts."""
    train = run.train.model_copy(update={"accumulate": run.train.accumulate * accumulate})
    mesh, sharding = (layout, "auto") if isinstance(layout, MeshSpec) else (None, layout)
    update: dict[str, Any] = {"resources": resources, "sharding": sharding, "mesh": mesh, "remat": remat}
    return run.model_copy(update={"train": train, "execution": run.execution.model_copy(update=update)})


def overrides_of(choices: Sequence[Choice]) -> dict[str, Any]:
    """Return the `overrides` of a spec that make the chosen ways so, by model."""
    return {choice.model: _settings(choice.asked[0], choice.chosen.runs[0]) for choice in choices if choice.chosen}


def _settings(asked: RunSpec, run: RunSpec) -> dict[str, Any]:
    execution = run.execution
    said: dict[str, Any] = {"resources": {"slice": execution.resources.slice}, "sharding": execution.sharding}
    mesh = execution.mesh and execution.mesh.model_dump(exclude_none=True)
    said |= {"remat": execution.remat} | ({"mesh": mesh} if mesh or asked.execution.mesh else {})
    parts = run.train.accumulate
    return {"execution": said} | ({"train": {"accumulate": parts}} if parts != asked.train.accumulate else {})


def _smaller(slice_name: str) -> list[str]:
    generation, size = slice_name.split("-")
    return [f"{generation}-{one}" for one in sorted(SIZES[generation], reverse=True) if one < int(size)]
