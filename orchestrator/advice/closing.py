"""What a launch ends with, below the law: how good the best samples are, what to run next at what price, where to look.

A distance says little by itself, so beside it stands what real images score; the law itself is `analysis.laws`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dit_grid.experiments.spec import ExperimentSpec
from dit_grid.orchestrator.advice.next_runs import next_runs

if TYPE_CHECKING:
    from dit_grid.analysis import Results

PICTURES = (("law", "figure08_compute.png"), ("samples", "figure07_samples.png"))
"""What is looked at first, of the figures that a launch draws."""


def closing(results: "Results", spec: ExperimentSpec, folder: str) -> list[str]:
    """The lines; `folder` is that of the figures. Empty of a store in which nothing was measured."""
    from dit_grid.analysis import main_metric

    metric = main_metric(set(results.evals["metric"]))
    if metric is None:
        return []
    return [*_best(results, metric), *_next(results, spec), *_places(spec, folder)]


def _best(results: "Results", metric: str) -> Iterator[str]:
    """The run that is best by the main metric at its last step, with its other metrics, and those of real images."""
    from dit_grid.analysis.results.frames import measured_rows
    from dit_grid.analysis.results.metric_names import metric_named

    rows = measured_rows(results, metric)
    rows = rows[(rows["step"] == rows["steps"]) & rows["value"].notna()]
    if rows.empty:
        return
    lower = metric_named(metric).lower_is_better
    best = rows.sort_values("value", ascending=lower).iloc[0]
    its = results.evals[(results.evals["run_id"] == best["run_id"]) & (results.evals["step"] == best["step"])]
    of_it = its.drop_duplicates("metric", keep="last").set_index("metric")
    real = _of_real_images(results, str(best["run_id"]), int(best["samples"]))
    names = [metric, *(name for name in real if name in of_it.index and name != metric)]
    said = "; ".join(_beside(name, float(of_it.at[name, "value"]), real) for name in names)
    yield f"Best samples: {best['model']}, {said}"


def _beside(name: str, value: float, real: dict[str, float]) -> str:
    return f"{name} {value:.3g}" + (f" (real images {real[name]:.3g})" if name in real else "")


def _of_real_images(results: "Results", run_id: str, samples: int) -> dict[str, float]:
    """What as many real images of the run's dataset score, where anything is known of them."""
    from dit_grid.experiments.metrics.real_scores import scores_of_real_images

    spec: Any = json.loads(dict(zip(results.runs["run_id"], results.runs["spec"], strict=True))[run_id] or "{}")
    return scores_of_real_images(str((spec.get("data") or {}).get("name", "")), samples) if samples > 0 else {}


def _next(results: "Results", spec: ExperimentSpec) -> Iterator[str]:
    found = next_runs(results, spec)
    if not found.rows:
        yield f"What to run next: {found.said[0].lower()}{found.said[1:]}"
        return
    first = dict(zip(found.titles, found.rows[0], strict=True))
    run, *facts = (f"{title}: {cell}" if title != "run" else cell for title, cell in first.items() if cell)
    note = "".join(f" {note}" for note in found.notes if not note.startswith("Noise"))
    yield f"What to run next: {run} ({'; '.join(facts)}).{note}"
    yield f"    {found.command}"


def _places(spec: ExperimentSpec, folder: str) -> Iterator[str]:
    for what, name in PICTURES:
        if (place := Path(folder) / name).is_file():
            yield f"The {what}: {place}"
    yield f"One page of everything: dit-grid report {spec.file}"
