"""From results to tables, fits and figures; `import dit_grid.analysis` loads nothing until a name is used.

What is here is the public vocabulary of the analysis. How runs are made is `dit_grid.experiments`; this package meets
them only through the results store.
"""

from typing import TYPE_CHECKING

from dit_grid.analysis.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.analysis.figures import write_figures
    from dit_grid.analysis.metrics import main_metric
    from dit_grid.analysis.paper import analyze_paper
    from dit_grid.analysis.prediction import Forecast, forecast
    from dit_grid.analysis.report import write_report
    from dit_grid.analysis.reproduction import compare_with_paper
    from dit_grid.analysis.results import Results, load, results_table
    from dit_grid.analysis.scaling import ScalingLaw, law
    from dit_grid.analysis.sheets import load_samples

_HOMES = {
    "Forecast": "prediction",
    "Results": "results",
    "ScalingLaw": "scaling",
    "analyze_paper": "paper",
    "compare_with_paper": "reproduction",
    "forecast": "prediction",
    "law": "scaling",
    "load": "results",
    "load_samples": "sheets",
    "main_metric": "metrics",
    "results_table": "results",
    "write_figures": "figures",
    "write_report": "report",
}

__all__ = [
    "Forecast",
    "Results",
    "ScalingLaw",
    "analyze_paper",
    "compare_with_paper",
    "forecast",
    "law",
    "load",
    "load_samples",
    "main_metric",
    "results_table",
    "write_figures",
    "write_report",
]

__getattr__ = on_first_use(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
