"""What would fit where a run does not, each way tried by the compiler: layout, recomputation, parts, the next slice."""

from collections.abc import Callable, Iterator
from typing import Any

from dit_grid.experiments.spec.execution import SAMPLE_BATCH
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.spec.slices import SIZES
from dit_grid.orchestrator.compiling.generations import GIB, topology_of
from dit_grid.orchestrator.compiling.verdicts import Compiled, RefusedError, judge, layout_of, with_evaluation

PARTS = (2, 4, 8)
"""Parts of a batch that are tried, which makes other runs: where nothing else fits, and the first that fits is told."""


def complaint(run: RunSpec, verdict: Compiled, versions: dict[str, str], tried: Callable[[], None]) -> str:
    """Return in one line that the run does not fit, and all that the compiler says would."""
    fitting = [f"{said} ({_size(found)})" for said, found in _fitting(run, versions, tried)]
    ways = "; what fits, by the compiler: " + "; ".join(fitting) if fitting else "; nothing that was tried fits"
    return (
        f"{run.model.name} ({run.id}) does not fit {verdict.slice}: with {layout_of(run)} a core needs "
        f"{verdict.hbm_needed_bytes / GIB:.2f} GiB and may use {verdict.hbm_granted_bytes / GIB:.2f}{ways}"
    )


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
    others = [layout for layout in ("host", "fsdp") if layout != execution.layout]
    for layout in others:
        yield iter([(f"execution.sharding: {layout}", _executed(run, sharding=layout, mesh=None))])
    if execution.remat != "block":
        yield iter([("execution.remat: block", _executed(run, remat="block"))])
        both = _executed(run, remat="block", sharding=others[0], mesh=None)
        yield iter([(f"execution: {{remat: block, sharding: {others[0]}}}", both)])
    yield _in_parts(run)
    yield _on_larger(run)


def _in_parts(run: RunSpec) -> Iterator[tuple[str, RunSpec]]:
    slice_name = str(run.execution.resources.slice)
    for parts in (run.train.accumulate * factor for factor in PARTS):
        if run.train.batch % (parts * topology_of(slice_name).devices) == 0:
            train = run.train.model_copy(update={"accumulate": parts})
            yield f"train.accumulate: {parts}, which makes it another run", run.model_copy(update={"train": train})


def _on_larger(run: RunSpec) -> Iterator[tuple[str, RunSpec]]:
    generation, size = str(run.execution.resources.slice).split("-")
    for larger in (f"{generation}-{one}" for one in SIZES[generation] if one > int(size)):
        if run.train.batch // run.train.accumulate % topology_of(larger).devices == 0:
            resources = run.execution.resources.model_copy(update={"slice": larger})
            yield f"resources: {{slice: {larger}}}", _executed(run, resources=resources)


def _executed(run: RunSpec, **changes: Any) -> RunSpec:
    return run.model_copy(update={"execution": run.execution.model_copy(update=changes)})


def _size(found: Compiled) -> str:
    seconds = f", {found.estimated_s * 1e3:.0f} ms estimated" if found.estimated_s else ""
    return f"{found.hbm_needed_bytes / GIB:.2f} GiB{seconds}"
