"""From results to tables, fits and figures; `import dit_grid.analysis` loads nothing until a name is used.

What is here is the public vocabulary of the analysis. How runs are made is `dit_grid.experiments`; this package meets
them only through the results store.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dit_grid.analysis.figures import write_figures
    from dit_grid.analysis.metrics import main_metric
    from dit_grid.analysis.results import Results, load, results_table
    from dit_grid.analysis.scaling import ScalingLaw, law
    from dit_grid.analysis.sheets import load_samples

_HOME = {
    "Results": "results",
    "ScalingLaw": "scaling",
    "law": "scaling",
    "load": "results",
    "load_samples": "sheets",
    "main_metric": "metrics",
    "results_table": "results",
    "write_figures": "figures",
}

__all__ = ["Results", "ScalingLaw", "law", "load", "load_samples", "main_metric", "results_table", "write_figures"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"dit_grid.analysis has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"dit_grid.analysis.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
