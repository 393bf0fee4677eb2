"""Figures: functions from frames to charts, one module a figure; `catalog` says which of the paper is which.

Numbers are made in `laws` and `fits`; nothing here computes one that it does not draw.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.analysis.figures.blocks import blocks_against_steps as blocks_against_steps
    from dit_grid.analysis.figures.bubbles import compute_bubbles as compute_bubbles
    from dit_grid.analysis.figures.chart import Chart as Chart, save as save
    from dit_grid.analysis.figures.folder import figures_folder as figures_folder, write_figures as write_figures
    from dit_grid.analysis.figures.forward_compute import metric_against_compute as metric_against_compute
    from dit_grid.analysis.figures.losses import training_loss as training_loss
    from dit_grid.analysis.figures.metric_panels import metrics_against_compute as metrics_against_compute
    from dit_grid.analysis.figures.objectives import objectives_against_compute as objectives_against_compute
    from dit_grid.analysis.figures.paper_folder import (
        analyze_paper as analyze_paper,
        paper_charts as paper_charts,
        paper_text as paper_text,
    )
    from dit_grid.analysis.figures.samples import sample_sheet as sample_sheet
    from dit_grid.analysis.figures.sampling_compute import (
        metric_against_sampling_compute as metric_against_sampling_compute,
        sampling_rows as sampling_rows,
    )
    from dit_grid.analysis.figures.sensitivity import metric_against_settings as metric_against_settings
    from dit_grid.analysis.figures.steps import metric_against_steps as metric_against_steps
    from dit_grid.analysis.figures.training_compute import (
        metrics_against_training_compute as metrics_against_training_compute,
    )

__getattr__, __dir__ = on_first_use(__name__)
