"""Figures: functions from frames to charts, one module a figure, and `write_figures` for all that a store can give.

Numbers are made in `law` and `fits`; nothing here computes one that it does not draw.
"""

from dit_grid.analysis.figures.blocks import blocks_against_steps
from dit_grid.analysis.figures.bubbles import compute_bubbles
from dit_grid.analysis.figures.chart import Chart, save
from dit_grid.analysis.figures.compute import metric_against_compute
from dit_grid.analysis.figures.folder import write_figures
from dit_grid.analysis.figures.losses import training_loss
from dit_grid.analysis.figures.panels import metrics_against_compute
from dit_grid.analysis.figures.samples import sample_sheet
from dit_grid.analysis.figures.sampling_compute import metric_against_sampling_compute, sampling_rows
from dit_grid.analysis.figures.steps import metric_against_steps
from dit_grid.analysis.figures.training_compute import metrics_against_training_compute

__all__ = [
    "Chart",
    "blocks_against_steps",
    "compute_bubbles",
    "metric_against_compute",
    "metric_against_sampling_compute",
    "metric_against_steps",
    "metrics_against_compute",
    "metrics_against_training_compute",
    "sample_sheet",
    "sampling_rows",
    "save",
    "training_loss",
    "write_figures",
]
