"""All figures that a store can give, written to a folder; those that need what is not there yet are skipped.

What is here decides what to draw from what was measured. How each figure looks is its own module.
"""

from collections.abc import Iterator
from pathlib import Path

from dit_grid.analysis.figures.chart import Chart, save
from dit_grid.analysis.figures.compute import metric_against_compute
from dit_grid.analysis.figures.losses import training_loss
from dit_grid.analysis.figures.samples import sample_sheet
from dit_grid.analysis.figures.steps import metric_against_steps
from dit_grid.analysis.figures.training_compute import metrics_against_training_compute
from dit_grid.analysis.metrics import main_metric
from dit_grid.analysis.results import Results, load
from dit_grid.analysis.scaling import law
from dit_grid.analysis.sheets import load_samples


def write_figures(where: str, out: str | Path) -> list[Path]:
    """The files written to `out`: PNG, SVG and data as CSV of every figure that the store at `where` can give."""
    results = load(where)
    charts = [*charts_of(results), *_sheet(where, results)]
    return [path for name, chart in charts for path in save(chart, out, name)]


def charts_of(results: Results) -> Iterator[tuple[str, Chart]]:
    """Yield (file name, chart) of each figure that the numbers allow; of a store without rows, none."""
    metric = main_metric(set(results.evals["metric"]))
    if metric:
        found = law(results, metric)
        if len(found.points):
            yield f"{metric}_against_compute", metric_against_compute(found)
        yield f"{metric}_against_steps", metric_against_steps(results, metric)
        yield "training_compute", metrics_against_training_compute(results, measured_first(metric, results))
    if len(results.train):
        yield "training_loss", training_loss(results)


def measured_first(metric: str, results: Results) -> list[str]:
    """The metrics measured, `metric` first."""
    return [metric, *sorted(set(results.evals["metric"]) - {metric})]


def _sheet(where: str, results: Results) -> Iterator[tuple[str, Chart]]:
    samples = load_samples(where, results)
    if samples:
        yield "samples", sample_sheet(samples)
