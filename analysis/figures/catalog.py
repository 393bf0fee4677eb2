"""The paper's result figures in its order, each with what draws it from a store; what cannot be drawn says why.

What is here decides what to draw from what was measured. How each figure looks is its own module.
"""

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

from dit_grid.analysis.figures.blocks import blocks_against_steps
from dit_grid.analysis.figures.bubbles import compute_bubbles
from dit_grid.analysis.figures.chart import Chart
from dit_grid.analysis.figures.curves import without_a_line
from dit_grid.analysis.figures.forward_compute import metric_against_compute
from dit_grid.analysis.figures.losses import training_loss
from dit_grid.analysis.figures.material import Material, Samples
from dit_grid.analysis.figures.metric_panels import metrics_against_compute
from dit_grid.analysis.figures.published import methods_beside, published_blocks
from dit_grid.analysis.figures.samples import sample_sheet
from dit_grid.analysis.figures.sampling_compute import metric_against_sampling_compute, sampling_rows
from dit_grid.analysis.figures.sensitivity import metric_against_settings
from dit_grid.analysis.figures.steps import metric_against_steps
from dit_grid.analysis.figures.training_compute import metrics_against_training_compute
from dit_grid.analysis.results.frames import NotMeasuredError, Results
from dit_grid.analysis.results.sweeps import best_only
from dit_grid.analysis.results.unknown import has_own_trainer


@dataclass(frozen=True)
class Entry:
    """A figure: its number in the paper (empty for one that is not there), file name, what it shows, and what draws it
    (or NotMeasuredError)."""

    number: str
    name: str
    title: str
    draw: Callable[[Material], Chart]


def catalog() -> tuple[Entry, ...]:
    """The result figures of the paper, in its order, and what a sweep shows."""
    return (
        Entry("2", "figure02_bubbles", "Final value, compute as area", _bubbles),
        Entry("5", "figure05_blocks", "Block designs along training", _blocks),
        Entry("6", "figure06_steps", "Every model along training", _steps),
        Entry("7", "figure07_samples", "Samples from the same noise", _samples),
        Entry("8", "figure08_compute", "The scaling law", _compute),
        Entry("9", "figure09_training_compute", "Against training compute", _training),
        Entry("10", "figure10_sampling_compute", "Against sampling compute", _sampling),
        Entry("12 left", "figure12_training_compute", "All metrics against training compute", _all_training),
        Entry("12 right", "figure12_forward_compute", "All metrics against forward compute", _all_forward),
        Entry("13", "figure13_training_loss", "Training loss, and its beginning", _losses),
        Entry("", "sensitivity", "Sensitivity to what was swept", _sensitivity),
    )


HEADLINE = ("figure06_steps", "figure07_samples", "figure08_compute")
"""What a launch ends with: the law, the way there, and what the models draw."""


def drawn(
    everything: Results, samples: Samples, only: Container[str] | None = None
) -> Iterator[tuple[Entry, Chart | str]]:
    """Yield each figure, or those named in `only`, with its chart, or with the reason why there is none."""
    material = Material(everything, samples)
    for entry in (entry for entry in catalog() if only is None or entry.name in only):
        try:
            yield entry, entry.draw(material)
        except NotMeasuredError as reason:
            yield entry, str(reason)


def _bubbles(m: Material) -> Chart:
    if m.published is None:
        return compute_bubbles(m.compute_law.points, None, m.metric, None, m.law.missing)
    return compute_bubbles(m.law.points, methods_beside(m.law, m.everything), m.metric, m.published, m.law.missing)


def _blocks(m: Material) -> Chart:
    return blocks_against_steps(
        best_only(m.everything, m.metric), m.metric, published=None if m.published is None else published_blocks()
    )


def _steps(m: Material) -> Chart:
    return metric_against_steps(m.results, m.metric, published=m.published)


def _samples(m: Material) -> Chart:
    if not m.samples:
        raise NotMeasuredError("no run has left samples yet; they come with its evaluations")
    return sample_sheet(m.samples)


def _compute(m: Material) -> Chart:
    return metric_against_compute(m.compute_law, m.published)


def _training(m: Material) -> Chart:
    return metrics_against_training_compute(_with_training_compute(m), [m.metric], m.published)


def _sampling(m: Material) -> Chart:
    rows = sampling_rows(m.results, m.metric)
    return metric_against_sampling_compute(rows, m.metric, missing=without_a_line(m.results.runs, rows))


def _with_training_compute(m: Material) -> Results:
    """The results, where the compute of training is known of all runs; raises NotMeasuredError where it is not."""
    rows = m.results.evals[m.results.evals["train_gmacs"].isna()]
    if has_own_trainer(rows).any():
        raise NotMeasuredError("the compute of training is not known of every model; see cost: in the spec")
    if len(rows):
        unknown = ", ".join(list(dict.fromkeys(rows["run_id"]))[:6])
        raise NotMeasuredError(f"the compute of training needs the batch of every run; unknown of {unknown}")
    return m.results


def _all_training(m: Material) -> Chart:
    return metrics_against_training_compute(_with_training_compute(m), m.metrics, m.published)


def _all_forward(m: Material) -> Chart:
    _ = m.compute_law  # raises where there is none to draw
    laws = [m.laws[name] for name in m.metrics if len(m.laws[name].points)]
    if not laws:
        raise NotMeasuredError(f"no run has its final {m.metric} yet")
    return metrics_against_compute(laws, m.not_measured)


def _sensitivity(m: Material) -> Chart:
    return metric_against_settings(m.tunings)


def _losses(m: Material) -> Chart:
    return training_loss(m.results)
