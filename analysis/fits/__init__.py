"""Laws and their fits: a law is a small record of settings, `law.fit(frame)` returns a `FitResult`; no state between.

What is here is the vocabulary; `linear` and `powers` hold the laws, `result` what a fit returns. numpy and scipy only.
"""

from typing import TYPE_CHECKING

from dit_grid.analysis.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.analysis.fits.comparison import FORMS, compare, forward_chain, hold_out_largest, leave_one_out
    from dit_grid.analysis.fits.correlation import Correlation, correlate
    from dit_grid.analysis.fits.linear import LogLinear, ParamsTokens, PerGroup, PowerLaw, Quadratic
    from dit_grid.analysis.fits.powers import SumOfPowers
    from dit_grid.analysis.fits.resampling import Bootstrap, bootstrap
    from dit_grid.analysis.fits.result import Dropped, Estimate, FitResult, Status
    from dit_grid.analysis.fits.rows import CannotFitError

_HOMES = {
    "Bootstrap": "resampling",
    "CannotFitError": "rows",
    "Correlation": "correlation",
    "Dropped": "result",
    "Estimate": "result",
    "FORMS": "comparison",
    "FitResult": "result",
    "LogLinear": "linear",
    "ParamsTokens": "linear",
    "PerGroup": "linear",
    "PowerLaw": "linear",
    "Quadratic": "linear",
    "Status": "result",
    "SumOfPowers": "powers",
    "bootstrap": "resampling",
    "compare": "comparison",
    "correlate": "correlation",
    "forward_chain": "comparison",
    "hold_out_largest": "comparison",
    "leave_one_out": "comparison",
}

__all__ = [
    "FORMS",
    "Bootstrap",
    "CannotFitError",
    "Correlation",
    "Dropped",
    "Estimate",
    "FitResult",
    "LogLinear",
    "ParamsTokens",
    "PerGroup",
    "PowerLaw",
    "Quadratic",
    "Status",
    "SumOfPowers",
    "bootstrap",
    "compare",
    "correlate",
    "forward_chain",
    "hold_out_largest",
    "leave_one_out",
]

__getattr__ = on_first_use(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
