"""From results to tables, fits and figures; `import dit_grid.analysis` loads nothing until a name is used.

What is here is the public vocabulary of the analysis. How runs are made is `dit_grid.experiments`; this package meets
them only through the results store.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.analysis.figures.folder import write_figures as write_figures
    from dit_grid.analysis.figures.paper_folder import analyze_paper as analyze_paper
    from dit_grid.analysis.forecasting.anything import forecast as forecast
    from dit_grid.analysis.forecasting.prediction import Forecast as Forecast
    from dit_grid.analysis.laws.objectives import compare_objectives as compare_objectives
    from dit_grid.analysis.laws.scaling import ScalingLaw as ScalingLaw, law as law
    from dit_grid.analysis.paper.reproduction import compare_with_paper as compare_with_paper
    from dit_grid.analysis.report.page import write_report as write_report
    from dit_grid.analysis.results.frames import Results as Results, load as load
    from dit_grid.analysis.results.metric_names import main_metric as main_metric
    from dit_grid.analysis.results.remarks import remarks as remarks
    from dit_grid.analysis.results.sample_sheets import load_samples as load_samples
    from dit_grid.analysis.results.tables import results_table as results_table

__getattr__, __dir__ = on_first_use(__name__)
