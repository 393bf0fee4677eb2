"""What would fit where a run does not, each way tried by the compiler: layout, recomputation, parts, the next slice.

A batch of fewer images than a slice has devices goes with a `tensor` axis, by which neighbours compute each image.
"""

from collections.abc import Callable, Iterator
from typing import Any

from dit_grid.experiments.spec.execution import SAMPLE_BATCH, MeshSpec
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.spec.slices import SIZES
from dit_grid.orchestrator.compiling.generations import GIB, topology_of
from dit_grid.orchestrator.compiling.layouts import divides, layout_of, narrow_meshes
from dit_grid.orchestrator.compiling.verdicts import Compiled, RefusedError, judge, with_evaluation

PARTS = (2, 4, 8)
"""Parts of a batch that are tried, which makes other runs: where nothing else fits, and the first that fits is told."""


def complaint(run: RunSpec, verdict: Compiled, versions: dict[str, str], tried: Callable[[], None]) -> str:
    """Return in one line that the run does not fit, and all that the compiler says would."""
    return (
        f"{run.model.name} ({run.id}) does not fit {verdict.slice}: with {layout_of(run)} a core needs "
        f"{verdict.hbm_needed_bytes / GIB:.2f} GiB and may use {verdict.hbm_granted_bytes / GIB:.2f}"
        f"{_ways_said(run, versions, tried)}"
    )


def refusal(run: RunSpec, why: RefusedError, versions: dict[str, str], tried: Callable[[], None]) -> str:
    """Return in one line why the run cannot lie on its slice at all, and what the compiler says would do."""
    return f"{why}{_ways_said(run, versions, tried)}"


def _ways_said(run: RunSpec, versions: dict[str, str], tried: Callable[[], None]) -> str:
    fitting = [f"{said} ({_size(found)})" for said, found in _fitting(run, versions, tried)]
    return "; what fits, by the compiler: " + "; ".join(fitting) if fitting else "; nothing that was tried fits"


def evaluation_complaint(run: RunSpec, verdict: Compiled, versions: dict[str, str], tried: Callable[[], None]) -> str:
    """Return in one line that the run trains and cannot be measured as it is, and what would do, by the compiler."""
    fitting = []
    for ways in _ways_to_measure(run):
        for said, changed in ways:
            found = with_evaluation(changed, judge(changed, versions), versions)
            tried()
            if found.fits and found.evaluation_fits:
                fitting.append(f"{said} ({(found.inline_bytes or 0) / GIB:.2f} GiB)")
                break
    ways_said = "; what fits, by the compiler: " + "; ".join(fitting) if fitting else "; nothing that was tried fits"
    largest = max(verdict.programs, key=lambda one: one.held_bytes)
    return (
        f"{run.model.name} ({run.id}) trains on {verdict.slice} but does not fit {largest.slice} with its evaluation: "
        f"with {largest.what} a core holds {(verdict.inline_bytes or 0) / GIB:.2f} GiB and may hold "
        f"{largest.hbm_granted_bytes / GIB:.2f}{ways_said}"
    )


def _ways_to_measure(run: RunSpec) -> Iterator[Iterator[tuple[str, RunSpec]]]:
    """Yield kinds of change, each a series of which the first that fits is enough."""
    batch = run.execution.sample_batch or SAMPLE_BATCH
    halves = [batch // part for part in (2, 4, 8, 16) if batch // part]
    yield ((f"execution.sample_batch: {half}", _executed(run, sample_batch=half)) for half in halves)
    if run.execution.evaluate_on is None:
        own = run.execution.resources
        yield iter([(f"execution.evaluate_on: {{slice: {own.slice}}}", _executed(run, evaluate_on=own))])


def _fitting(run: RunSpec, versions: dict[str, str], tried: Callable[[], None]) -> Iterator[tuple[str, Compiled]]:
    for ways in _ways(run):
        for said, changed in ways:
            try:
                found = judge(changed, versions)
            except RefusedError:
                continue
            finally:
                tried()
            if found.fits:
                yield said, found
                break


def _ways(run: RunSpec) -> Iterator[Iterator[tuple[str, RunSpec]]]:
    """Yield kinds of change, each a series of which the first that fits is enough."""
    execution = run.execution
    if not divides(run, str(execution.resources.slice)):
        yield _computed_together(run)
        yield _on_larger(run)
        return
    others = [layout for layout in ("host", "fsdp") if layout != execution.layout or execution.mesh]
    for layout in others:
        yield iter([(f"execution.sharding: {layout}", _executed(run, sharding=layout, mesh=None))])
    if execution.remat != "block":
        yield iter([("execution.remat: block", _executed(run, remat="block"))])
        both = _executed(run, remat="block", sharding=others[0], mesh=None)
        yield iter([(f"execution: {{remat: block, sharding: {others[0]}}}", both)])
    yield _in_parts(run)
    yield _on_larger(run)


def _computed_together(run: RunSpec) -> Iterator[tuple[str, RunSpec]]:
    for remat in dict.fromkeys((run.execution.remat, "block")):
        also = f"remat: {remat}, " * (remat != run.execution.remat)
        for mesh in narrow_meshes(run, str(run.execution.resources.slice)):
            said = f"execution: {{{also}mesh: {_mesh_said(mesh)}}}"
            yield said, _executed(run, remat=remat, sharding="auto", mesh=mesh)


def _mesh_said(mesh: MeshSpec) -> str:
    return f"{{fsdp: {mesh.fsdp}, tensor: {mesh.tensor}}}"


def _in_parts(run: RunSpec) -> Iterator[tuple[str, RunSpec]]:
    slice_name = str(run.execution.resources.slice)
    for parts in (run.train.accumulate * factor for factor in PARTS):
        if run.train.batch % (parts * topology_of(slice_name).devices) == 0:
            train = run.train.model_copy(update={"accumulate": parts})
            yield f"train.accumulate: {parts}, which makes it another run", run.model_copy(update={"train": train})


def _on_larger(run: RunSpec) -> Iterator[tuple[str, RunSpec]]:
    generation, size = str(run.execution.resources.slice).split("-")
    for larger in (f"{generation}-{one}" for one in SIZES[generation] if one > int(size)):
        there = {"resources": run.execution.resources.model_copy(update={"slice": larger})}
        if divides(run, larger):
            yield f"resources: {{slice: {larger}}}", _executed(run, **there)
            continue
        for mesh in narrow_meshes(run, larger):
            said = f"execution: {{resources: {{slice: {larger}}}, mesh: {_mesh_said(mesh)}}}"
            yield said, _executed(run, **there, sharding="auto", mesh=mesh)


def _executed(run: RunSpec, **changes: Any) -> RunSpec:
    return run.model_copy(update={"execution": run.execution.model_copy(update=changes)})


def _size(found: Compiled) -> str:
    seconds = f", {found.estimated_s * 1e3:.0f} ms estimated" if found.estimated_s else ""
    return f"{found.hbm_needed_bytes / GIB:.2f} GiB{seconds}"
