"""What a launch ends with, below the law: how good the best samples are, what to run next at what price, where to look.

A distance says little by itself, so beside it stands what real images score; the law itself is `analysis.laws`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dit_grid.experiments.spec import ExperimentSpec
from dit_grid.orchestrator.advice.next_runs import next_runs

if TYPE_CHECKING:
    import pandas as pd

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
    """The run that is best by the main metric at its last step, and what else is known of its samples and of real ones.

    Each metric is read under its own main protocol, as the results table has it.
    """
    from dit_grid.analysis.results.frames import measured_rows
    from dit_grid.analysis.results.metric_names import metric_named

    rows = measured_rows(results, metric)
    rows = rows[(rows["step"] == rows["steps"]) & rows["value"].notna()]
    if rows.empty:
        return
    best = rows.sort_values("value", ascending=metric_named(metric).lower_is_better).iloc[0]
    real = _of_real_images(results, best)
    measured = {name: measured_rows(results, name) for name in set(real) & set(results.evals["metric"])} | {
        metric: rows
    }
    its = {name: of[(of["run_id"] == best["run_id"]) & (of["step"] == best["step"])] for name, of in measured.items()}
    names = [metric, *(name for name in real if name != metric and len(its.get(name, ())))]
    said = "; ".join(_beside(name, float(its[name]["value"].iloc[-1]), real) for name in names)
    yield f"{'Best samples' if metric in real else 'Best'}: {best['model']}, {said}"


def _beside(name: str, value: float, real: dict[str, float]) -> str:
    return f"{name} {value:.3g}" + (f" (real images {real[name]:.3g})" if name in real else "")


def _of_real_images(results: "Results", best: "pd.Series") -> dict[str, float]:
    """What as many real images of the run's dataset score; empty where nothing is known of them."""
    import pandas as pd

    from dit_grid.experiments.metrics.real_scores import scores_of_real_images

    samples = best["samples"]
    if pd.isna(samples) or samples < 1:
        return {}
    texts = dict(zip(results.runs["run_id"], results.runs["spec"], strict=True))
    data = json.loads(texts[best["run_id"]] or "{}").get("data") or {}
    return scores_of_real_images(str(data.get("name", "")), int(samples))


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
